//! One replica's process, from start to end.

use std::{process::ExitStatus, sync::Arc, time::Duration};

use nix::unistd::Pid;
use tailback_config::{Listener, Model, ProcessSpec};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin},
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use super::{
    command::command,
    host::Host,
    listener,
    logs::{LastLines, forward},
    port::Port,
    probe,
    supervisor::{self, Launch},
};
use crate::replica::Replica;

/// After the stop signal, a process has this long before SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

/// What an instance tells its set.
#[derive(Debug)]
pub(super) enum Note {
    /// It is not ready yet; what the last probe got.
    NotReady(String),
    /// It takes traffic from now on; how long that took.
    Ready(Duration),
    /// It takes traffic again.
    Resumed,
    /// It is asked to end: it cannot be taken back.
    Ending,
    /// It ended though nobody asked it to; why.
    Failed(String),
    /// It ended as asked.
    Stopped,
}

/// What a set asks of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// No more requests, and go once the last one is done.
    Drain,
    /// Go on: it is needed after all.
    Resume,
}

/// What an instance is to run.
#[derive(Debug)]
pub(super) struct Order {
    pub id: u64,
    pub model: Arc<Model>,
    pub spec: ProcessSpec,
    pub host: Arc<Host>,
    pub replica: Arc<Replica>,
    pub port: Port,
    /// For gRPC, if the command has a place for it.
    pub grpc_port: Option<Port>,
}

/// Leads a process through its life. It drains once asked to, or once nobody can ask any more.
pub(super) async fn lead(
    order: Order,
    mut asks: mpsc::UnboundedReceiver<Ask>,
    notes: mpsc::UnboundedSender<(u64, Note)>,
) {
    let tell = |note| {
        // The set outlives its instances, but for the runtime's end.
        let _ = notes.send((order.id, note));
    };
    let mut process = match Process::start(&order).await {
        Ok(process) => process,
        Err(why) => return tell(Note::Failed(why)),
    };
    tracing::info!(replica = %order.replica, "starting");
    let started = Instant::now();
    let supervisor = process.pid();
    let mut last = None;

    tokio::select! {
        foreign = until_ready(&order, supervisor, started, &mut last, &tell) => match foreign {
            Ok(()) => tell(Note::Ready(started.elapsed())),
            Err(why) => {
                order.replica.close();
                process.end().await;
                return tell(Note::Failed(why));
            }
        },
        status = process.ended() => {
            order.replica.close();
            return tell(Note::Failed(process.why_ended(status, "before it was ready").await));
        }
        () = sleep(order.spec.start) => {
            order.replica.close();
            process.end().await;
            let why = last.unwrap_or_else(|| "the first probe is not answered yet".into());
            let limit = order.spec.start.as_secs_f64();
            return tell(Note::Failed(format!("not ready within {limit} s (startSeconds): {why}")));
        }
        () = asked_to_drain(&mut asks) => {
            order.replica.close();
            tell(Note::Ending);
            process.end().await;
            return tell(Note::Stopped);
        }
    }

    loop {
        tokio::select! {
            status = process.ended() => {
                order.replica.close();
                return tell(Note::Failed(process.why_ended(status, "while it was serving").await));
            }
            () = asked_to_drain(&mut asks) => order.replica.close(),
        }
        tokio::select! {
            () = until_idle(&order) => {}
            () = order.host.shutting_down() => {}
            _ = process.ended() => return tell(Note::Stopped),
            () = asked_to_resume(&mut asks) => {
                order.replica.reopen();
                tell(Note::Resumed);
                continue;
            }
        }
        tell(Note::Ending);
        if order.replica.in_flight() > 0 {
            order.replica.cut();
        }
        process.end().await;
        return tell(Note::Stopped);
    }
}

/// Also when nobody can ask any more.
async fn asked_to_drain(asks: &mut mpsc::UnboundedReceiver<Ask>) {
    while asks.recv().await == Some(Ask::Resume) {}
}

/// Never, when nobody can ask any more.
async fn asked_to_resume(asks: &mut mpsc::UnboundedReceiver<Ask>) {
    loop {
        match asks.recv().await {
            Some(Ask::Resume) => return,
            Some(Ask::Drain) => {}
            None => std::future::pending().await,
        }
    }
}

/// Returns once the replica may take requests, or why it never will. What a probe got is told,
/// and is in `last`.
async fn until_ready(
    order: &Order,
    supervisor: Option<Pid>,
    started: Instant,
    last: &mut Option<String>,
    tell: &impl Fn(Note),
) -> Result<(), String> {
    let mut owned = false;
    loop {
        let probed = probe::probe(order.replica.authority(), &order.spec.ready).await;
        let connected = probed
            .as_ref()
            .err()
            .is_none_or(|why| !why.starts_with(probe::NO_CONNECTION));
        if connected && !owned {
            // Whoever else has the port keeps the replica from it for good.
            check_ports(order, supervisor).await?;
            owned = true;
        }
        let Err(why) = probed else {
            return Ok(());
        };
        if last.as_ref() != Some(&why) {
            tracing::debug!(replica = %order.replica, why, "not ready yet");
            tell(Note::NotReady(format!(
                "{} is not ready yet: {why}",
                order.replica.name()
            )));
            *last = Some(why);
        }
        sleep(probe::pause(started.elapsed())).await;
    }
}

/// Whether somebody else listens where the replica is to.
async fn check_ports(order: &Order, supervisor: Option<Pid>) -> Result<(), String> {
    let Some(supervisor) = supervisor.filter(|_| order.spec.listener == Listener::Replica) else {
        return Ok(());
    };
    let ports = [
        Some(order.port.number()),
        order.grpc_port.as_ref().map(Port::number),
    ];
    let check = move || {
        let mut ports = ports.into_iter().flatten();
        ports.try_for_each(|port| listener::check(port, supervisor))
    };
    tokio::task::spawn_blocking(check).await.unwrap_or(Ok(()))
}

/// Until a closed replica has no request left, or the time for them has passed.
async fn until_idle(order: &Order) {
    let replica = &order.replica;
    let idle = async {
        while replica.in_flight() > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let Some(limit) = order.spec.drain else {
        return idle.await;
    };
    if timeout(limit, idle).await.is_err() {
        tracing::warn!(
            %replica,
            in_flight = replica.in_flight(),
            "requests remain after drainSeconds ({} s): stopping the replica regardless",
            limit.as_secs_f64()
        );
    }
}

/// A supervisor and what it keeps.
struct Process {
    child: Child,
    id: Option<u32>,
    host: Arc<Host>,
    launch: Launch,
    orders: Option<ChildStdin>,
    last_lines: LastLines,
    /// Ends when the process has closed its error output.
    errors: tokio::task::JoinHandle<()>,
}

impl Process {
    async fn start(order: &Order) -> Result<Self, String> {
        let name = order.replica.name().to_owned();
        let (mut command, launch) = command(
            &order.host,
            &name,
            &order.model,
            &order.spec,
            order.port.number(),
            order.grpc_port.as_ref().map_or(0, Port::number),
        )?;
        let line = launch.line()?;
        let mut child = order
            .host
            .spawn(&mut command)
            .map_err(|e| format!("cannot start its supervisor: {e}"))?;
        let last_lines = LastLines::default();
        if let Some(out) = child.stdout.take() {
            tokio::spawn(forward(name.clone(), out, None));
        }
        let errors = match child.stderr.take() {
            Some(err) => tokio::spawn(forward(name, err, Some(last_lines.clone()))),
            None => tokio::spawn(async {}),
        };
        let mut orders = child.stdin.take();
        if let Some(orders) = &mut orders {
            // It fails only if the supervisor has ended, which is seen when it is waited for.
            let _ = orders.write_all(line.as_bytes()).await;
        }
        Ok(Self {
            id: child.id(),
            child,
            host: order.host.clone(),
            launch,
            orders,
            last_lines,
            errors,
        })
    }

    /// The supervisor's id, as long as it runs.
    fn pid(&self) -> Option<Pid> {
        self.id
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw)
    }

    /// Until the command and all it started have ended; how the command did.
    async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await;
        let orderly = status.as_ref().is_ok_and(|status| status.code().is_some());
        self.host.ended(self.id, &self.launch, orderly).await;
        status
    }

    /// The stop signal, and SIGKILL after the grace time.
    async fn end(&mut self) {
        self.order(supervisor::TERMINATE).await;
        if timeout(GRACE, self.ended()).await.is_err() {
            self.order(supervisor::KILL).await;
            let _ = self.ended().await;
        }
    }

    async fn order(&mut self, order: u8) {
        if let Some(orders) = &mut self.orders {
            // It fails only if the supervisor has ended, which is what is wanted.
            let _ = orders.write_all(&[order]).await;
        }
    }

    async fn why_ended(&mut self, status: std::io::Result<ExitStatus>, when: &str) -> String {
        // Its last words may still be in the pipe.
        let _ = timeout(Duration::from_millis(200), &mut self.errors).await;
        let how = match status.map(|s| s.code()) {
            Ok(Some(code)) if code > 128 => format!("ended by signal {}", code - 128),
            Ok(Some(code)) => format!("exited with status {code}"),
            Ok(None) => "was ended, as its supervisor was killed".into(),
            Err(error) => format!("cannot be waited for: {error}"),
        };
        let words = self
            .last_lines
            .summary()
            .map(|words| format!(": {words}"))
            .unwrap_or_default();
        format!("{how} {when}{words}")
    }
}

//! One replica's process, from start to end.

use std::{process::ExitStatus, sync::Arc, time::Duration};

use tailback_config::{Model, ProcessSpec};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin},
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};

use super::{
    command::command,
    host::Host,
    logs::{LastLines, forward},
    port::Port,
    probe,
    supervisor::{self, Launch},
};
use crate::replica::Replica;

/// After SIGTERM, a process has this long before SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

/// What an instance tells its set.
#[derive(Debug)]
pub(super) enum Note {
    /// It takes traffic from now on; how long that took.
    Ready(Duration),
    /// It ended though nobody asked it to; why.
    Failed(String),
    /// It ended as asked.
    Stopped,
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

/// Leads a process through its life. `stop` asks it to drain and go.
pub(super) async fn lead(
    order: Order,
    stop: oneshot::Receiver<()>,
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
    tokio::pin!(stop);

    tokio::select! {
        () = until_ready(&order, started) => tell(Note::Ready(started.elapsed())),
        status = process.ended() => {
            order.replica.close();
            return tell(Note::Failed(process.why_ended(status, "before it was ready").await));
        }
        () = sleep(order.spec.start) => {
            order.replica.close();
            let why = probe::probe(order.replica.authority(), &order.spec.ready).await;
            process.end().await;
            let why = why.err().unwrap_or_else(|| "it got ready too late".into());
            let limit = order.spec.start.as_secs_f64();
            return tell(Note::Failed(format!("not ready within {limit} s (startSeconds): {why}")));
        }
        _ = &mut stop => {
            order.replica.close();
            process.end().await;
            return tell(Note::Stopped);
        }
    }

    tokio::select! {
        status = process.ended() => {
            order.replica.close();
            tell(Note::Failed(process.why_ended(status, "while it was serving").await));
        }
        _ = &mut stop => {
            order.replica.close();
            tokio::select! {
                () = until_idle(&order.replica, order.spec.drain) => process.end().await,
                _ = process.ended() => {}
            }
            tell(Note::Stopped);
        }
    }
}

async fn until_ready(order: &Order, started: Instant) {
    while let Err(why) = probe::probe(order.replica.authority(), &order.spec.ready).await {
        tracing::debug!(replica = %order.replica, why, "not ready yet");
        sleep(probe::pause(started.elapsed())).await;
    }
}

/// Until a closed replica has no request left, or `limit` has passed.
async fn until_idle(replica: &Replica, limit: Duration) {
    let idle = async {
        while replica.in_flight() > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    if timeout(limit, idle).await.is_err() {
        tracing::warn!(
            %replica,
            in_flight = replica.in_flight(),
            "requests remain after drainSeconds: stopping the replica regardless"
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

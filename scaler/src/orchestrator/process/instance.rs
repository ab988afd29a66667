//! The life of one replica's process, from start to end.

use std::{sync::Arc, time::Duration};

use tailback_config::{Model, ProcessSpec};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{
    command::command,
    host::Host,
    logs::LineWatch,
    plan::Phase,
    port::Port,
    readiness::{Subject, until_ready},
    supervision::{Descriptors, Supervision},
    supervisor::{self, Launch},
};
use crate::replica::Replica;

/// Time between the stop signal and SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

/// A message from an instance to its set.
#[derive(Debug)]
pub(super) enum Note {
    /// It is not ready; the result of the last probe.
    NotReady(String),
    /// It takes requests now; how long its start took.
    Ready(Duration),
    /// It takes requests again after draining.
    Resumed,
    /// It was asked to stop, which cannot be revoked.
    Ending,
    /// It has failed or ended by itself; why.
    Failed(String),
    /// It has stopped as asked.
    Stopped,
    /// It goes on, and nobody leads it any more.
    Parked(Box<Parked>),
}

/// A message from a set to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Take no new requests, and stop after the last one.
    Drain,
    /// Take requests again: the instance is needed after all.
    Resume,
    /// Let another one lead it.
    Park,
}

/// What an instance is, whoever leads it.
#[derive(Debug)]
pub(super) struct Charge {
    pub id: u64,
    pub host: Arc<Host>,
    pub replica: Arc<Replica>,
    pub port: Port,
    /// The port for gRPC, if the command has a placeholder for it.
    pub grpc_port: Option<Port>,
    /// How it is run. `None`: its model is not served any more.
    pub spec: Option<ProcessSpec>,
    /// How long it may finish its requests; `None`: as long as they take.
    pub drain: Option<Duration>,
}

/// How far an instance has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// Since when it runs.
    Starting(Instant),
    Ready,
    /// Since when it drains.
    Draining(Instant),
    /// When its time to end is over; why it has to, if it failed.
    Ending(Instant, Option<String>),
}

/// An instance that nobody leads: this process, after it took it up again, or the next one.
#[derive(Debug)]
pub(super) struct Parked {
    pub charge: Charge,
    pub stage: Stage,
    pub launch: Launch,
    /// The supervisor's id.
    pub supervisor: Option<u32>,
    pub descriptors: Descriptors,
}

// === impl Charge ===

impl Charge {
    /// The line that says that it is ready, if one does.
    fn line(&self) -> LineWatch {
        LineWatch::new(self.spec.as_ref().map(|spec| &spec.ready))
    }

    fn ports(&self) -> Vec<u16> {
        let grpc = self.grpc_port.as_ref();
        let ports = [Some(&self.port), grpc];
        ports.into_iter().flatten().map(Port::number).collect()
    }
}

// === impl Stage ===

impl Stage {
    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::Starting(_) => Phase::Starting,
            Self::Ready => Phase::Ready,
            Self::Draining(_) => Phase::Draining,
            Self::Ending(..) => Phase::Ending,
        }
    }
}

/// Starts a process of `model`, and leads it through its life. It drains once asked to, or once
/// nobody can ask any more.
pub(super) async fn start(
    charge: Charge,
    model: Arc<Model>,
    asks: mpsc::UnboundedReceiver<Ask>,
    notes: mpsc::UnboundedSender<(u64, Note)>,
) {
    match supervise(&charge, &model).await {
        Ok(process) => {
            tracing::info!(replica = %charge.replica, "starting");
            lead(
                charge,
                process,
                Stage::Starting(Instant::now()),
                asks,
                notes,
            )
            .await;
        }
        // Fails only when the runtime ends: a set outlives its instances.
        Err(why) => drop(notes.send((charge.id, Note::Failed(why)))),
    }
}

async fn supervise(charge: &Charge, model: &Model) -> Result<Supervision, String> {
    let spec = charge.spec.as_ref().ok_or("its model is gone")?;
    let (command, launch) = command(
        &charge.host,
        charge.replica.name(),
        model,
        spec,
        charge.port.number(),
        charge.grpc_port.as_ref().map_or(0, Port::number),
    )?;
    Supervision::start(charge.host.clone(), command, launch, charge.line()).await
}

/// Goes on with what was parked.
pub(super) async fn resume(
    parked: Parked,
    asks: mpsc::UnboundedReceiver<Ask>,
    notes: mpsc::UnboundedSender<(u64, Note)>,
) {
    let Parked {
        charge,
        stage,
        launch,
        supervisor,
        descriptors,
    } = parked;
    let (host, line) = (charge.host.clone(), charge.line());
    match Supervision::adopt(host, launch, supervisor, descriptors, line) {
        Ok(process) => lead(charge, process, stage, asks, notes).await,
        Err(error) => {
            charge.replica.close();
            let why = format!("cannot be taken over: {error}");
            let _ = notes.send((charge.id, Note::Failed(why)));
        }
    }
}

/// Leads a process from `stage` on.
async fn lead(
    charge: Charge,
    mut process: Supervision,
    mut stage: Stage,
    mut asks: mpsc::UnboundedReceiver<Ask>,
    notes: mpsc::UnboundedSender<(u64, Note)>,
) {
    let id = charge.id;
    let tell = |note| drop(notes.send((id, note)));
    let mut ears = Ears { closed: false };
    loop {
        let step = match stage {
            Stage::Starting(since) => {
                starting(&charge, &mut process, since, ears.ask(&mut asks), &tell).await
            }
            Stage::Ready => serving(&mut process, ears.ask(&mut asks)).await,
            Stage::Draining(since) => {
                draining(&charge, &mut process, since, ears.ask(&mut asks)).await
            }
            Stage::Ending(until, ref why) => {
                ending(&mut process, until, why.clone(), ears.ask(&mut asks)).await
            }
        };
        match step {
            Step::Over(note) => {
                charge.replica.close();
                return tell(note);
            }
            Step::Park => {
                let (launch, supervisor) = (process.launch().clone(), process.id());
                return tell(match process.release().await {
                    Ok(descriptors) => Note::Parked(Box::new(Parked {
                        charge,
                        stage,
                        launch,
                        supervisor,
                        descriptors,
                    })),
                    Err(error) => Note::Failed(format!("cannot be passed on: {error}")),
                });
            }
            Step::Stay => {}
            Step::To(Stage::Ending(_, why)) => {
                let failed = why.is_some();
                charge.replica.close();
                if !failed {
                    tell(Note::Ending);
                }
                if charge.replica.in_flight() > 0 {
                    charge.replica.cut();
                }
                process.order(supervisor::TERMINATE).await;
                stage = Stage::Ending(Instant::now() + GRACE, why);
            }
            Step::To(next) => {
                match (&stage, &next) {
                    (Stage::Starting(since), _) => tell(Note::Ready(since.elapsed())),
                    (_, Stage::Ready) => {
                        charge.replica.reopen();
                        tell(Note::Resumed);
                    }
                    _ => charge.replica.close(),
                }
                stage = next;
            }
        }
    }
}

/// What comes next.
enum Step {
    To(Stage),
    /// Nothing new.
    Stay,
    Park,
    Over(Note),
}

/// Whether anybody can still ask.
struct Ears {
    closed: bool,
}

impl Ears {
    /// What is asked next: once more to drain when nobody can ask any more, and then nothing.
    async fn ask(&mut self, asks: &mut mpsc::UnboundedReceiver<Ask>) -> Ask {
        if self.closed {
            std::future::pending::<()>().await;
        }
        asks.recv().await.unwrap_or_else(|| {
            self.closed = true;
            Ask::Drain
        })
    }
}

fn end_now() -> Step {
    Step::To(Stage::Ending(Instant::now(), None))
}

async fn starting(
    charge: &Charge,
    process: &mut Supervision,
    since: Instant,
    asked: impl Future<Output = Ask>,
    tell: &impl Fn(Note),
) -> Step {
    let Some(spec) = &charge.spec else {
        return end_now();
    };
    let (ports, line) = (charge.ports(), process.line());
    let subject = Subject {
        replica: &charge.replica,
        spec,
        ports: &ports,
        supervisor: process.pid(),
        line: &line,
        started: since,
    };
    let mut last = None;
    let not_ready = |why| tell(Note::NotReady(why));
    let fail = |why| Step::To(Stage::Ending(Instant::now(), Some(why)));
    tokio::select! {
        ready = until_ready(subject, &mut last, not_ready) => match ready {
            Ok(()) => Step::To(Stage::Ready),
            Err(why) => fail(why),
        },
        code = process.ended() => {
            Step::Over(Note::Failed(process.why_ended(code, "before it was ready").await))
        }
        () = sleep_until(since + spec.start) => {
            let why = last.unwrap_or_else(|| "the first probe is not answered yet".into());
            let limit = spec.start.as_secs_f64();
            fail(format!("not ready within {limit} s (startSeconds): {why}"))
        }
        ask = asked => match ask {
            Ask::Drain => end_now(),
            Ask::Park => Step::Park,
            Ask::Resume => Step::Stay,
        }
    }
}

async fn serving(process: &mut Supervision, asked: impl Future<Output = Ask>) -> Step {
    tokio::select! {
        code = process.ended() => {
            Step::Over(Note::Failed(process.why_ended(code, "while it was serving").await))
        }
        ask = asked => match ask {
            Ask::Drain => Step::To(Stage::Draining(Instant::now())),
            Ask::Park => Step::Park,
            Ask::Resume => Step::Stay,
        }
    }
}

async fn draining(
    charge: &Charge,
    process: &mut Supervision,
    since: Instant,
    asked: impl Future<Output = Ask>,
) -> Step {
    tokio::select! {
        () = until_idle(charge, since) => end_now(),
        () = charge.host.shutting_down() => end_now(),
        _ = process.ended() => Step::Over(Note::Stopped),
        ask = asked => match ask {
            Ask::Resume => Step::To(Stage::Ready),
            Ask::Park => Step::Park,
            Ask::Drain => Step::Stay,
        }
    }
}

/// After the stop signal: SIGKILL when its time is over.
async fn ending(
    process: &mut Supervision,
    until: Instant,
    why: Option<String>,
    asked: impl Future<Output = Ask>,
) -> Step {
    let over = |why: Option<String>| Step::Over(why.map_or(Note::Stopped, Note::Failed));
    tokio::select! {
        _ = process.ended() => over(why),
        () = sleep_until(until) => {
            process.order(supervisor::KILL).await;
            process.ended().await;
            over(why)
        }
        ask = asked => match ask {
            Ask::Park => Step::Park,
            Ask::Drain | Ask::Resume => Step::Stay,
        }
    }
}

/// Waits until a closed replica has no request left, or until `drainSeconds` have passed.
async fn until_idle(charge: &Charge, since: Instant) {
    let replica = &charge.replica;
    let idle = async {
        while replica.is_in_use() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let Some(limit) = charge.drain else {
        return idle.await;
    };
    if timeout_at(since + limit, idle).await.is_err() {
        tracing::warn!(
            %replica,
            in_flight = replica.in_flight(),
            "requests are still in flight after drainSeconds ({} s): the replica is stopped and they fail",
            limit.as_secs_f64()
        );
    }
}

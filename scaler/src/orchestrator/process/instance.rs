//! The life of one replica's process, from start to end.

mod stages;
mod state;

use std::sync::Arc;

use tailback_config::Model;
use tokio::{sync::mpsc, time::Instant};

use self::stages::{Step, draining, ending, serving, starting};
pub(super) use self::state::{Ask, Charge, Note, Parked, Stage};
use super::{command::command, port::Port, supervision::Supervision, supervisor};

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
        Err(why) => {
            charge.replica.end();
            charge.log.end();
            // Fails only when the runtime ends: a set outlives its instances.
            let _ = notes.send((charge.id, Note::Failed(why)));
        }
    }
}

async fn supervise(charge: &Charge, model: &Model) -> Result<Supervision, String> {
    let spec = charge.spec.as_ref().ok_or("its model is gone")?;
    let (command, launch) = command(
        &charge.host,
        charge.replica.name(),
        model,
        spec,
        (
            charge.port.number(),
            charge.grpc_port.as_ref().map_or(0, Port::number),
        ),
        (charge.id, charge.replica.devices()),
    )?;
    Supervision::start(charge.host.clone(), command, launch, charge.sink()).await
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
    let (host, sink) = (charge.host.clone(), charge.sink());
    match Supervision::adopt(host, launch, supervisor, descriptors, sink) {
        Ok(process) => lead(charge, process, stage, asks, notes).await,
        Err(error) => {
            charge.replica.close();
            charge.replica.end();
            charge.log.end();
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
    let cgroup = process.launch().cgroup.clone();
    let _measured = charge
        .host
        .meters
        .measure(&charge.replica, cgroup, process.pid());
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
                charge.replica.end();
                charge.log.end();
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
                stage = Stage::Ending(Instant::now() + charge.grace(), why);
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

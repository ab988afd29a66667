//! The life of one replica's process, from start to end.

mod stages;
mod state;

use std::sync::Arc;

use tailback_config::Model;
use tokio::{sync::mpsc, time::Instant};

use self::stages::{NextStage, draining, ending, serving, starting};
pub(super) use self::state::{Directive, InstanceContext, InstanceEvent, Parked, Stage};
use super::{command::command, port::Port, supervision::Supervision, supervisor};

/// Starts a process of `model` and manages it until it has ended. It drains on
/// [`Directive::Drain`], and when the sender of `directives` is dropped.
pub(super) async fn start(
    context: InstanceContext,
    model: Arc<Model>,
    directives: mpsc::UnboundedReceiver<Directive>,
    instance_events: mpsc::UnboundedSender<(u64, InstanceEvent)>,
) {
    match supervise(&context, &model).await {
        Ok(process) => {
            tracing::info!(replica = %context.replica, "starting");
            manage(
                context,
                process,
                Stage::Starting(Instant::now()),
                directives,
                instance_events,
            )
            .await;
        }
        Err(why) => {
            context.replica.end();
            context.log.end();
            // Fails only when the runtime ends: a set outlives its instances.
            let _ = instance_events.send((context.id, InstanceEvent::Failed(why)));
        }
    }
}

async fn supervise(context: &InstanceContext, model: &Model) -> Result<Supervision, String> {
    let spec = context.spec.as_ref().ok_or("its model is gone")?;
    let (command, launch) = command(
        &context.host,
        context.replica.name(),
        model,
        spec,
        (
            context.port.number(),
            context.grpc_port.as_ref().map_or(0, Port::number),
        ),
        (context.id, context.replica.devices()),
    )?;
    Supervision::start(context.host.clone(), command, launch, context.sink()).await
}

/// Manages a parked instance again, from the stage that it was parked in.
pub(super) async fn resume(
    parked: Parked,
    directives: mpsc::UnboundedReceiver<Directive>,
    instance_events: mpsc::UnboundedSender<(u64, InstanceEvent)>,
) {
    let Parked {
        context,
        stage,
        launch,
        supervisor,
        descriptors,
    } = parked;
    let (host, sink) = (context.host.clone(), context.sink());
    match Supervision::adopt(host, launch, supervisor, descriptors, sink) {
        Ok(process) => manage(context, process, stage, directives, instance_events).await,
        Err(error) => {
            context.replica.close();
            context.replica.end();
            context.log.end();
            let why = format!("cannot be taken over: {error}");
            let _ = instance_events.send((context.id, InstanceEvent::Failed(why)));
        }
    }
}

/// Manages a process from `stage` until it has ended or is parked.
async fn manage(
    context: InstanceContext,
    mut process: Supervision,
    mut stage: Stage,
    directives: mpsc::UnboundedReceiver<Directive>,
    instance_events: mpsc::UnboundedSender<(u64, InstanceEvent)>,
) {
    let id = context.id;
    let cgroup = process.launch().cgroup.clone();
    let _measured = context
        .host
        .meters
        .measure(&context.replica, cgroup, process.pid());
    let tell = |event| drop(instance_events.send((id, event)));
    let mut directives = Directives {
        receiver: directives,
        closed: false,
    };
    loop {
        let step = match stage {
            Stage::Starting(since) => {
                starting(&context, &mut process, since, directives.next(), &tell).await
            }
            Stage::Ready => serving(&mut process, directives.next()).await,
            Stage::Draining(since) => {
                draining(&context, &mut process, since, directives.next()).await
            }
            Stage::Ending(until, ref why) => {
                ending(&mut process, until, why.clone(), directives.next()).await
            }
        };
        match step {
            NextStage::Over(event) => {
                context.replica.close();
                context.replica.end();
                context.log.end();
                return tell(event);
            }
            NextStage::Park => {
                let (launch, supervisor) = (process.launch().clone(), process.id());
                return tell(match process.release().await {
                    Ok(descriptors) => InstanceEvent::Parked(Box::new(Parked {
                        context,
                        stage,
                        launch,
                        supervisor,
                        descriptors,
                    })),
                    Err(error) => InstanceEvent::Failed(format!("cannot be passed on: {error}")),
                });
            }
            NextStage::Stay => {}
            NextStage::To(Stage::Ending(_, why)) => {
                let failed = why.is_some();
                context.replica.close();
                if !failed {
                    tell(InstanceEvent::Ending);
                }
                if context.replica.in_flight() > 0 {
                    context.replica.cut();
                }
                process.order(supervisor::TERMINATE).await;
                stage = Stage::Ending(Instant::now() + context.grace(), why);
            }
            NextStage::To(next) => {
                match (&stage, &next) {
                    (Stage::Starting(since), _) => tell(InstanceEvent::Ready(since.elapsed())),
                    (_, Stage::Ready) => {
                        context.replica.reopen();
                        tell(InstanceEvent::Resumed);
                    }
                    _ => context.replica.close(),
                }
                stage = next;
            }
        }
    }
}

/// What the instance's set tells it to do.
struct Directives {
    receiver: mpsc::UnboundedReceiver<Directive>,
    /// Whether the set has dropped its sender.
    closed: bool,
}

impl Directives {
    /// The next directive. A dropped sender counts as one last [`Directive::Drain`]; after that,
    /// this never returns.
    async fn next(&mut self) -> Directive {
        if self.closed {
            std::future::pending::<()>().await;
        }
        self.receiver.recv().await.unwrap_or_else(|| {
            self.closed = true;
            Directive::Drain
        })
    }
}

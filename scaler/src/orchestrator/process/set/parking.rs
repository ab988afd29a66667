//! Parking a set: its instances run on while no task manages them, until this process or its
//! successor adopts them.

use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::Instant,
};

use super::{Instance, Set};
use crate::{
    clock::Nanos,
    orchestrator::process::{
        description::Description,
        instance::{Directive, InstanceEvent, Parked, Stage, resume},
    },
};

/// A request to park the whole set; the answer goes here.
pub(in crate::orchestrator::process) type Park = oneshot::Sender<ParkedSet>;

/// A parked set.
#[derive(Debug, Default)]
pub(in crate::orchestrator::process) struct ParkedSet {
    /// The number of the next replica.
    pub next_id: u64,
    pub start_up: Option<Duration>,
    pub failure: Option<String>,
    pub instances: Vec<ParkedInstance>,
}

/// A parked instance, with what its set knows of it.
#[derive(Debug)]
pub(in crate::orchestrator::process) struct ParkedInstance {
    pub parked: Parked,
    pub runs: Description,
    pub ready_since: Option<Instant>,
}

impl ParkedSet {
    /// Drains and ends the instances, as no set will adopt them. Returns a task for each, which
    /// ends with it.
    pub(in crate::orchestrator::process) fn close(self) -> Vec<JoinHandle<()>> {
        let close = |instance: ParkedInstance| {
            // The other ends of these channels are dropped: no set sends or listens.
            let (_, directives) = mpsc::unbounded_channel();
            let (instance_events, _) = mpsc::unbounded_channel();
            tokio::spawn(resume(instance.parked, directives, instance_events))
        };
        self.instances.into_iter().map(close).collect()
    }
}

impl Set {
    /// Manages the instances of a parked set from now on.
    pub(super) fn adopt(&mut self, set: ParkedSet) {
        self.next_id = self.next_id.max(set.next_id);
        self.start_up = set.start_up;
        self.failure = set.failure;
        for ParkedInstance {
            mut parked,
            runs,
            ready_since,
        } in set.instances
        {
            let context = &mut parked.context;
            let drain = watch::Sender::new(*context.drain.borrow());
            context.drain = drain.subscribe();
            if let Some(spec) = self.wanted.model.server.process() {
                drain.send_replace(spec.drain.value);
                context.spec = Some(spec.clone());
            }
            let (directives, receiver) = mpsc::unbounded_channel();
            let phase = parked.stage.phase();
            let instance = Instance {
                replica: context.replica.clone(),
                phase,
                runs,
                starting_since: match parked.stage {
                    Stage::Starting(since) => ago(since.elapsed()),
                    Stage::Ready | Stage::Draining(_) | Stage::Ending(..) => Nanos::now(),
                },
                ready_since,
                draining_since: match parked.stage {
                    Stage::Draining(since) => Some(ago(since.elapsed())),
                    Stage::Ending(..) => Some(Nanos::now()),
                    Stage::Starting(_) | Stage::Ready => None,
                },
                not_ready: None,
                drain,
                directives,
            };
            self.instances.insert(context.id, instance);
            tokio::spawn(resume(parked, receiver, self.instance_events.clone()));
        }
    }

    /// Parks all instances. Those that end meanwhile are left out.
    pub(super) async fn park(
        &mut self,
        inbox: &mut mpsc::UnboundedReceiver<(u64, InstanceEvent)>,
    ) -> ParkedSet {
        let mut instances = Vec::new();
        for instance in self.instances.values() {
            // Fails if the instance has ended by itself.
            let _ = instance.directives.send(Directive::Park);
        }
        while !self.instances.is_empty() {
            // The set holds a sender, so this channel does not end.
            let Some((id, event)) = inbox.recv().await else {
                break;
            };
            match event {
                InstanceEvent::Parked(parked) => {
                    if let Some(instance) = self.instances.remove(&id) {
                        instances.push(ParkedInstance {
                            parked: *parked,
                            runs: instance.runs,
                            ready_since: instance.ready_since,
                        });
                    }
                }
                event => self.apply(id, event),
            }
        }
        ParkedSet {
            next_id: self.next_id,
            start_up: self.start_up,
            failure: self.failure.clone(),
            instances,
        }
    }
}

/// The time `time` before now, or the start of this process's clock if that is later.
fn ago(time: Duration) -> Nanos {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Nanos(Nanos::now().0.saturating_sub(nanos))
}

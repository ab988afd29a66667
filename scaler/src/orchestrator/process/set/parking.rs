//! A set that nobody leads for a while: its instances go on by themselves, and are taken up
//! again, by this process or by the next one.

use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};

use super::{Instance, Set};
use crate::{
    clock::Nanos,
    orchestrator::process::{
        description::Description,
        instance::{Ask, Note, Parked, Stage, resume},
    },
};

/// Who wants all of a set to be parked.
pub(in crate::orchestrator::process) type Park = oneshot::Sender<ParkedSet>;

/// A set whose instances nobody leads.
#[derive(Debug, Default)]
pub(in crate::orchestrator::process) struct ParkedSet {
    /// Which number the next replica has.
    pub next_id: u64,
    pub start_up: Option<Duration>,
    pub failure: Option<String>,
    pub instances: Vec<ParkedInstance>,
}

/// An instance that nobody leads, and what its set knows of it.
#[derive(Debug)]
pub(in crate::orchestrator::process) struct ParkedInstance {
    pub parked: Parked,
    pub runs: Description,
    pub ready_since: Option<Instant>,
}

impl ParkedSet {
    /// Lets the instances drain and go: nobody asks for them again. A task for each, until it has
    /// gone.
    pub(in crate::orchestrator::process) fn close(self) -> Vec<JoinHandle<()>> {
        let close = |instance: ParkedInstance| {
            // Of those channels, the other ends are gone.
            let (_, asks) = mpsc::unbounded_channel();
            let (notes, _) = mpsc::unbounded_channel();
            tokio::spawn(resume(instance.parked, asks, notes))
        };
        self.instances.into_iter().map(close).collect()
    }
}

impl Set {
    /// Leads what was parked.
    pub(super) fn take_up(&mut self, set: ParkedSet) {
        self.next_id = self.next_id.max(set.next_id);
        self.start_up = set.start_up;
        self.failure = set.failure;
        for ParkedInstance {
            mut parked,
            runs,
            ready_since,
        } in set.instances
        {
            let charge = &mut parked.charge;
            if let Some(spec) = self.wanted.model.server.process() {
                (charge.drain, charge.spec) = (spec.drain, Some(spec.clone()));
            }
            let (asks, asked) = mpsc::unbounded_channel();
            let phase = parked.stage.phase();
            let instance = Instance {
                replica: charge.replica.clone(),
                phase,
                runs,
                ready_since,
                draining_since: match parked.stage {
                    Stage::Draining(since) => Some(ago(since.elapsed())),
                    Stage::Ending(..) => Some(Nanos::now()),
                    Stage::Starting(_) | Stage::Ready => None,
                },
                not_ready: None,
                asks,
            };
            self.instances.insert(charge.id, instance);
            tokio::spawn(resume(parked, asked, self.notes.clone()));
        }
    }

    /// Lets nobody lead the instances any more. Those that end meanwhile are not among them.
    pub(super) async fn park(
        &mut self,
        inbox: &mut mpsc::UnboundedReceiver<(u64, Note)>,
    ) -> ParkedSet {
        let mut instances = Vec::new();
        for instance in self.instances.values() {
            // It may have ended, and have said so.
            let _ = instance.asks.send(Ask::Park);
        }
        while !self.instances.is_empty() {
            // The set holds a sender.
            let Some((id, note)) = inbox.recv().await else {
                break;
            };
            match note {
                Note::Parked(parked) => {
                    if let Some(instance) = self.instances.remove(&id) {
                        instances.push(ParkedInstance {
                            parked: *parked,
                            runs: instance.runs,
                            ready_since: instance.ready_since,
                        });
                    }
                }
                note => self.apply(id, note),
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

/// So long before now, or as long as this process has been running.
fn ago(time: Duration) -> Nanos {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Nanos(Nanos::now().0.saturating_sub(nanos))
}

//! The orchestrators, and what each of them says.
//!
//! Models move from one orchestrator to another, go and come back, and what was
//! said of them before is then still on its way. So each orchestrator has a
//! channel of its own in which what it says is numbered: who begins to listen at a
//! [`Mark`] hears what came after it from the same orchestrator, and nothing else.

use std::{future::poll_fn, path::PathBuf, sync::Arc, task::Poll};

use tailback_config::Kind;
use tokio::sync::mpsc;

use crate::orchestrator::{
    Events, Orchestrator, ReplicaSet, fixed::Fixed, kubernetes::Kubernetes, process::Processes,
    seldon::Seldon, webhook::Webhooks,
};

/// A place in what an orchestrator says.
#[derive(Clone)]
pub(super) struct Mark {
    pub orchestrator: Arc<dyn Orchestrator>,
    /// How many sets it had sent before.
    number: u64,
}

/// An orchestrator, and what it says.
struct Source {
    orchestrator: Arc<dyn Orchestrator>,
    events: mpsc::UnboundedReceiver<ReplicaSet>,
    /// How many sets were received.
    heard: u64,
}

/// See the [module](self).
pub(super) struct Sources {
    processes: Source,
    fixed: Source,
    kubernetes: Source,
    webhooks: Source,
    seldon: Source,
}

// === impl Mark ===

impl Mark {
    /// Whether what was sent here is for who listens from `since` on.
    pub(super) fn is_after(&self, since: &Self) -> bool {
        Arc::ptr_eq(&self.orchestrator, &since.orchestrator) && self.number >= since.number
    }
}

// === impl Source ===

impl Source {
    fn new<O: Orchestrator + 'static>(orchestrator: impl FnOnce(Events) -> O) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        Self {
            orchestrator: Arc::new(orchestrator(sender)),
            events,
            heard: 0,
        }
    }

    /// After all that was sent until now.
    fn now(&self) -> Mark {
        Mark {
            orchestrator: self.orchestrator.clone(),
            number: self.heard + self.events.len() as u64,
        }
    }
}

// === impl Sources ===

impl Sources {
    /// `keeper`: see [`Processes::new`].
    pub(super) fn new(keeper: PathBuf) -> Self {
        Self {
            processes: Source::new(|events| Processes::new(keeper, events)),
            fixed: Source::new(Fixed::new),
            kubernetes: Source::new(Kubernetes::new),
            webhooks: Source::new(Webhooks::new),
            seldon: Source::new(Seldon::new),
        }
    }

    /// Where to listen from now on for a model on a server of this kind.
    pub(super) fn now(&self, kind: &Kind) -> Mark {
        match kind {
            Kind::Process(_) => self.processes.now(),
            Kind::Static(_) => self.fixed.now(),
            Kind::Kubernetes(_) => self.kubernetes.now(),
            Kind::Webhook(_) => self.webhooks.now(),
            Kind::Seldon(_) => self.seldon.now(),
        }
    }

    fn all(&mut self) -> [&mut Source; 5] {
        [
            &mut self.processes,
            &mut self.fixed,
            &mut self.kubernetes,
            &mut self.webhooks,
            &mut self.seldon,
        ]
    }

    /// What is said next, by any of them, and where.
    pub(super) async fn next(&mut self) -> (Mark, ReplicaSet) {
        poll_fn(|context| {
            for source in self.all() {
                // An orchestrator keeps its sender: the channel does not end.
                if let Poll::Ready(Some(set)) = source.events.poll_recv(context) {
                    let mark = Mark {
                        orchestrator: source.orchestrator.clone(),
                        number: source.heard,
                    };
                    source.heard += 1;
                    return Poll::Ready((mark, set));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// All replicas finish what they have and go; returns when they are gone.
    pub(super) async fn shutdown(&mut self) {
        for source in self.all() {
            source.orchestrator.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> ReplicaSet {
        ReplicaSet::default()
    }

    #[tokio::test]
    async fn only_what_the_same_orchestrator_says_later_is_heard() {
        let (mut first, mut second) = (None, None);
        let mut sources = Sources {
            processes: Source::new(|events| Fixed::new(first.insert(events).clone())),
            fixed: Source::new(|events| Fixed::new(second.insert(events).clone())),
            ..Sources::new(PathBuf::new())
        };
        let (first, second) = (first.unwrap(), second.unwrap());
        let start = sources.processes.now();
        first.send(set()).unwrap();
        let (early, _) = sources.next().await;
        assert!(early.is_after(&start));

        first.send(set()).unwrap();
        let since = sources.processes.now();
        second.send(set()).unwrap();
        first.send(set()).unwrap();
        let mut heard = Vec::new();
        for _ in 0..3 {
            let (mark, _) = sources.next().await;
            heard.push((mark.is_after(&start), mark.is_after(&since)));
        }
        heard.sort_unstable();
        assert_eq!(
            heard,
            [(false, false), (true, false), (true, true)],
            "another's, one on its way, and one that is meant"
        );
    }
}

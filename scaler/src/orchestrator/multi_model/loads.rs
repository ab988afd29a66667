//! Sends loads, a few at a time: further ones are sent when others have ended.

use std::sync::Arc;

use super::{hosted::Files, outcome::Subject, reconciler::Reconciler};
use crate::{clock::Nanos, placement::PlacedState};

/// Loads that one replica of a server is asked for at once. More loads would share its processors
/// and its disk, and exceed their time limits together.
const AT_ONCE: usize = 4;

/// A load that has not been sent yet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Queued {
    model: Arc<str>,
    /// Whether requests are held for the model.
    held: bool,
    since: Nanos,
}

impl Reconciler {
    /// Sends as many waiting loads to each replica as it may have at once.
    pub(super) fn send_loads(&mut self, now: Nanos) {
        let mut calls = Vec::new();
        for (server, own) in &mut self.servers {
            for replica in &mut own.replicas {
                let mut sent = 0;
                let mut queued = Vec::new();
                for (model, hosted) in &replica.hosted {
                    match (hosted.state, hosted.sent) {
                        (PlacedState::Loading, Some(_)) => sent += 1,
                        (PlacedState::Loading, None) if !matches!(hosted.files, Files::Here) => {}
                        (PlacedState::Loading, None) => queued.push(Queued {
                            model: model.clone(),
                            held: self
                                .models
                                .get(model)
                                .is_some_and(|own| own.demand.held > 0),
                            since: hosted.since,
                        }),
                        _ => {}
                    }
                }
                for model in due(queued, sent) {
                    let Some(hosted) = replica.hosted.get_mut(&model) else {
                        continue;
                    };
                    hosted.sent = Some(now);
                    let subject = Subject {
                        server: server.clone(),
                        replica: Some(replica.replica.id()),
                        model: Some(model),
                        attempt: Some(hosted.replica.id()),
                    };
                    let name = hosted.name_at_server.clone();
                    calls.push((subject, replica.replica.clone(), name));
                }
            }
        }
        for (subject, host, name) in calls {
            self.call_load(subject, &host, name);
        }
    }
}

/// The loads to send next while `sent` loads are in progress: first those of models with held
/// requests, then those that have waited longest.
fn due(mut queued: Vec<Queued>, sent: usize) -> impl Iterator<Item = Arc<str>> {
    // The sort is stable, and models come by name.
    queued.sort_by_key(|own| (!own.held, own.since));
    let free = AT_ONCE.saturating_sub(sent);
    queued.into_iter().take(free).map(|own| own.model)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(model: &str, held: bool, since: u64) -> Queued {
        Queued {
            model: model.into(),
            held,
            since: Nanos(since),
        }
    }

    #[test]
    fn as_many_are_sent_as_may_be_there_at_once() {
        let all: Vec<_> = (0..9).map(|n| queued(&n.to_string(), false, n)).collect();
        for (sent, left) in [(0, 4), (3, 1), (4, 0), (7, 0)] {
            assert_eq!(due(all.clone(), sent).count(), left, "{sent} are sent");
        }
    }

    #[test]
    fn what_requests_wait_for_is_sent_first_and_then_what_has_waited_longest() {
        let all = vec![
            queued("new", false, 3),
            queued("old", false, 1),
            queued("held", true, 4),
        ];
        let order: Vec<_> = due(all, 0).collect();
        assert_eq!(order, ["held", "old", "new"].map(Arc::from));
    }
}

//! The count that a workload is asked for, by the newest information about it.
//!
//! The answer to our own request and the events of the watch come on different connections. Watch
//! events older than our last write are ignored, because they would look like somebody else's
//! change. `metadata.resourceVersion` tells which is older: it is a growing number in every known
//! API server, though the API calls it opaque. Where it is not a number, events are ignored until
//! one shows our own write. Both rules end after [`PATIENCE`]: a cluster restored from a backup
//! continues from an older version.

use std::time::Duration;

use crate::clock::Nanos;

/// How long watch events may lag behind the response to our request.
const PATIENCE: Duration = Duration::from_secs(30);

/// The newest count, and our own last request if the watch has not shown it yet.
#[derive(Debug, Default)]
pub(super) struct WorkloadCount {
    desired: Option<u32>,
    version: String,
    /// Our last successful request, until the watch shows it.
    last_write: Option<LastWrite>,
}

#[derive(Debug)]
struct LastWrite {
    replicas: u32,
    version: String,
    at: Nanos,
}

impl WorkloadCount {
    /// The count that the workload is asked for now; `None`: not known.
    pub(super) fn desired(&self) -> Option<u32> {
        self.desired
    }

    /// Takes the response to our request.
    pub(super) fn answered(&mut self, replicas: u32, version: &str, now: Nanos) {
        if is_older(version, &self.version) == Some(true) {
            return; // Somebody else's later change was seen before our answer.
        }
        self.desired = Some(replicas);
        version.clone_into(&mut self.version);
        self.last_write = Some(LastWrite {
            replicas,
            version: version.to_owned(),
            at: now,
        });
    }

    /// Takes the count from the watch or from a read of the scale subresource. `None`: the
    /// workload does not exist.
    pub(super) fn seen(&mut self, replicas: Option<u32>, version: &str, now: Nanos) {
        if let (Some(last_write), Some(_)) = (&self.last_write, replicas) {
            let stale = match is_older(version, &last_write.version) {
                Some(older) => older,
                None => version != last_write.version && replicas != Some(last_write.replicas),
            };
            if stale && now.since(last_write.at) < PATIENCE {
                return;
            }
        }
        self.last_write = None;
        self.desired = replicas;
        version.clone_into(&mut self.version);
    }
}

/// Whether `version` is older than `other`; `None` if one of them is not a number.
fn is_older(version: &str, other: &str) -> Option<bool> {
    let number = |text: &str| text.parse::<u128>().ok();
    Some(number(version)? < number(other)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Nanos {
        Nanos::from_duration(Duration::from_secs(seconds))
    }

    #[test]
    fn an_event_older_than_our_answer_is_no_change() {
        let mut count = WorkloadCount::default();
        count.seen(Some(1), "100", at(0));
        count.answered(3, "105", at(1));
        count.seen(Some(1), "99", at(1));
        count.seen(Some(1), "101", at(1));
        assert_eq!(count.desired(), Some(3));
        count.seen(Some(3), "105", at(1));
        count.seen(Some(2), "106", at(2));
        assert_eq!(count.desired(), Some(2), "somebody else's");
    }

    #[test]
    fn a_change_after_our_own_is_seen_even_before_the_answer() {
        let mut count = WorkloadCount::default();
        count.seen(Some(1), "100", at(0));
        count.seen(Some(3), "105", at(1));
        count.seen(Some(2), "106", at(1));
        count.answered(3, "105", at(1));
        assert_eq!(count.desired(), Some(2));
    }

    #[test]
    fn versions_that_are_no_numbers_count_once_ours_was_seen() {
        let mut count = WorkloadCount::default();
        count.answered(3, "x9", at(0));
        count.seen(Some(1), "x8", at(1));
        assert_eq!(count.desired(), Some(3));
        count.seen(Some(3), "x9", at(1));
        count.seen(Some(1), "x7", at(1));
        assert_eq!(count.desired(), Some(1));
    }

    #[test]
    fn a_cluster_from_a_backup_is_believed_after_a_while() {
        let mut count = WorkloadCount::default();
        count.answered(3, "900", at(0));
        count.seen(Some(1), "100", at(29));
        assert_eq!(count.desired(), Some(3));
        count.seen(Some(1), "100", at(30));
        assert_eq!(count.desired(), Some(1));
    }

    #[test]
    fn a_workload_that_is_gone_asks_for_nothing() {
        let mut count = WorkloadCount::default();
        count.seen(Some(3), "1", at(0));
        count.seen(None, "2", at(1));
        assert_eq!(count.desired(), None);
    }
}

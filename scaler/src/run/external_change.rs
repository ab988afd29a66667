//! Changes of a replica count by somebody else: a person, another autoscaler. Pure.
//!
//! Tailback accepts a count that it did not ask for, and decides from there. It sends no scale
//! request in the stability time after the change. If somebody changes the count again soon after
//! a request of ours, the count is contested: Tailback backs off until nobody has changed it for
//! [`CONTESTED`]. Even then, it asks for a first replica if requests are held and there is none.

use std::{collections::VecDeque, time::Duration};

use crate::clock::Nanos;

/// How long we back off after the last change of a contested count.
pub(super) const CONTESTED: Duration = Duration::from_secs(600);
/// Two changes with a request of ours between them are a contest if neither is further from it
/// than this.
const CLOSE: Duration = Duration::from_secs(600);
/// Largest number of our requests that are remembered as unconfirmed.
const ON_THEIR_WAY: usize = 8;

/// Why Tailback sends no scale requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BackOff {
    /// Somebody else has changed the count: back off for the stability time.
    AfterChange {
        /// The stability time.
        span: Duration,
    },
    /// Somebody else keeps changing the count: back off for [`CONTESTED`].
    Contested,
}

impl BackOff {
    /// How long the back-off lasts.
    pub(super) fn span(self) -> Duration {
        match self {
            Self::AfterChange { span } => span,
            Self::Contested => CONTESTED,
        }
    }
}

/// The last change by somebody else.
#[derive(Clone, Copy, Debug)]
struct CountChange {
    at: Nanos,
    /// When the back-off ends.
    until: Nanos,
    back_off: BackOff,
}

/// The count that Tailback may ask for during a back-off: `asked`, the count set by others; or 1,
/// if that is 0, requests are `held`, and `wanted` is not 0.
pub(super) fn allowed(asked: u32, held: u64, wanted: u32) -> u32 {
    match (asked, held) {
        (0, 1..) => wanted.min(1),
        _ => asked,
    }
}

/// Tells our own changes of a count from those of others.
#[derive(Debug, Default)]
pub(super) struct ExternalChanges {
    /// The count that the orchestrator last reported.
    known: Option<u32>,
    /// Counts that we asked for and that were not reported yet, oldest first.
    asked: VecDeque<u32>,
    /// When we last sent a request.
    own: Option<Nanos>,
    change: Option<CountChange>,
}

impl ExternalChanges {
    /// Notes our request for `replicas`.
    pub(super) fn asked(&mut self, replicas: u32, now: Nanos) {
        self.own = Some(now);
        if self.known == Some(replicas) && self.asked.is_empty() {
            return; // Nothing changes, so it will not be reported.
        }
        if self.asked.len() == ON_THEIR_WAY {
            self.asked.pop_front();
        }
        self.asked.push_back(replicas);
    }

    /// Notes the count that the orchestrator reports while another proxy leads. That proxy judges
    /// whose change it is.
    pub(super) fn knows(&mut self, desired: u32) {
        self.known = Some(desired);
        self.asked.clear();
    }

    /// Takes the count that the orchestrator reports. Returns the back-off if somebody else has
    /// changed it.
    pub(super) fn reported(
        &mut self,
        desired: u32,
        stability: Duration,
        now: Nanos,
    ) -> Option<BackOff> {
        let before = self.known.replace(desired);
        if before == Some(desired) {
            return None;
        }
        if let Some(at) = self.asked.iter().position(|&asked| asked == desired) {
            // Earlier requests were overtaken and will not be reported.
            self.asked.drain(..=at);
            return None;
        }
        // The first report is no change.
        before?;
        let back_off = if self.is_fight(stability, now) {
            BackOff::Contested
        } else {
            BackOff::AfterChange { span: stability }
        };
        self.change = Some(CountChange {
            at: now,
            until: now + back_off.span(),
            back_off,
        });
        Some(back_off)
    }

    /// Notes that the workload is gone. The next report is taken like a first one.
    pub(super) fn gone(&mut self) {
        self.known = None;
        self.asked.clear();
    }

    /// Whether no count is known.
    pub(super) fn is_gone(&self) -> bool {
        self.known.is_none()
    }

    /// Takes over the leader's back-off, which lasts for `left` more.
    pub(super) fn back_off(&mut self, back_off: BackOff, left: Duration, now: Nanos) {
        let until = now + left.min(back_off.span());
        self.change = Some(CountChange {
            at: now,
            until,
            back_off,
        });
    }

    /// Ends the back-off, because an operator has set a count.
    pub(super) fn end_back_off(&mut self) {
        self.change = None;
    }

    /// Whether a change now makes the count contested: it came during such a back-off, or after a
    /// request of ours that followed a change by somebody else.
    fn is_fight(&self, stability: Duration, now: Nanos) -> bool {
        let Some(last) = self.change else {
            return false;
        };
        if last.back_off == BackOff::Contested && self.quiet(now).is_some() {
            return true;
        }
        self.own.is_some_and(|own| {
            own > last.at
                && own.since(last.at) <= CLOSE + stability.max(last.back_off.span())
                && now.since(own) <= CLOSE
        })
    }

    /// The current back-off and how long it still lasts.
    pub(super) fn quiet(&self, now: Nanos) -> Option<(BackOff, Duration)> {
        let CountChange {
            until, back_off, ..
        } = self.change?;
        let left = until.since(now);
        (!left.is_zero()).then_some((back_off, left))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STABILITY: Duration = Duration::from_secs(60);
    const QUIET: Option<BackOff> = Some(BackOff::AfterChange { span: STABILITY });

    fn at(seconds: u64) -> Nanos {
        Nanos::from_duration(Duration::from_secs(seconds))
    }

    fn observe(changes: &mut ExternalChanges, desired: u32, seconds: u64) -> Option<BackOff> {
        changes.reported(desired, STABILITY, at(seconds))
    }

    fn left(changes: &ExternalChanges, seconds: u64) -> u64 {
        changes
            .quiet(at(seconds))
            .map_or(0, |(_, left)| left.as_secs())
    }

    #[test]
    fn while_the_count_is_others_one_is_asked_for_where_there_is_none_and_requests_wait() {
        for (asked, held, wanted, expected) in [
            (0, 0, 6, 0),
            (0, 3, 6, 1),
            (0, 3, 0, 0),
            (1, 3, 6, 1),
            (4, 0, 2, 4),
        ] {
            assert_eq!(
                allowed(asked, held, wanted),
                expected,
                "{asked} {held} {wanted}"
            );
        }
    }

    #[test]
    fn what_the_leader_left_to_others_is_left_to_them_by_the_next() {
        let mut changes = ExternalChanges::default();
        changes.knows(1);
        changes.back_off(BackOff::Contested, Duration::from_secs(400), at(5));
        assert_eq!(left(&changes, 5), 400);
        assert_eq!(
            observe(&mut changes, 3, 10),
            Some(BackOff::Contested),
            "they go on"
        );
        assert_eq!(left(&changes, 10), 600);
    }

    #[test]
    fn a_workload_made_anew_is_found() {
        let mut changes = ExternalChanges::default();
        observe(&mut changes, 4, 0);
        changes.gone();
        assert_eq!(observe(&mut changes, 1, 1), None);
        assert_eq!(observe(&mut changes, 2, 2), QUIET);
    }

    #[test]
    fn what_we_asked_for_is_ours_and_the_first_is_found() {
        let mut changes = ExternalChanges::default();
        assert_eq!(observe(&mut changes, 3, 0), None);
        changes.asked(5, at(1));
        assert_eq!(observe(&mut changes, 3, 2), None, "not there yet");
        assert_eq!(observe(&mut changes, 5, 3), None);
        changes.asked(6, at(4));
        changes.asked(7, at(4));
        assert_eq!(observe(&mut changes, 7, 5), None, "6 was overtaken");
        assert_eq!(observe(&mut changes, 6, 6), QUIET);
    }

    #[test]
    fn another_count_is_taken_over_and_left_alone_for_the_stability_time() {
        let mut changes = ExternalChanges::default();
        observe(&mut changes, 1, 0);
        assert_eq!(observe(&mut changes, 4, 100), QUIET);
        assert_eq!(
            (
                left(&changes, 100),
                left(&changes, 159),
                left(&changes, 160)
            ),
            (60, 1, 0)
        );
        assert_eq!(
            observe(&mut changes, 5, 130),
            QUIET,
            "once more, and nothing of ours between"
        );
        assert_eq!(left(&changes, 160), 30);
    }

    #[test]
    fn a_fight_is_given_up_until_they_have_left_the_count_alone() {
        let mut changes = ExternalChanges::default();
        observe(&mut changes, 1, 0);
        changes.asked(5, at(10));
        observe(&mut changes, 5, 10);
        assert_eq!(observe(&mut changes, 2, 20), QUIET, "once is no fight");
        changes.asked(5, at(80));
        observe(&mut changes, 5, 80);
        assert_eq!(observe(&mut changes, 2, 95), Some(BackOff::Contested));
        assert_eq!(left(&changes, 95), 600);
        assert_eq!(
            observe(&mut changes, 3, 395),
            Some(BackOff::Contested),
            "they go on"
        );
        assert_eq!(left(&changes, 395), 600);
        assert_eq!(left(&changes, 995), 0);
        changes.asked(5, at(1000));
        observe(&mut changes, 5, 1000);
        assert_eq!(
            observe(&mut changes, 2, 1015),
            Some(BackOff::Contested),
            "still there"
        );
    }

    #[test]
    fn changes_far_apart_are_no_fight() {
        let mut changes = ExternalChanges::default();
        observe(&mut changes, 1, 0);
        observe(&mut changes, 4, 100);
        changes.asked(2, at(200));
        observe(&mut changes, 2, 200);
        assert_eq!(observe(&mut changes, 4, 801), QUIET, "long after ours");
    }

    #[test]
    fn a_request_that_lands_late_is_still_ours() {
        let mut changes = ExternalChanges::default();
        observe(&mut changes, 1, 0);
        changes.asked(5, at(1));
        assert_eq!(observe(&mut changes, 3, 2), QUIET);
        assert_eq!(observe(&mut changes, 5, 3), None);
    }

    proptest! {
        /// Our own changes are never taken for somebody else's, and others' always are.
        #[test]
        fn only_others_are_foreign(counts in prop::collection::vec((any::<bool>(), 0u32..50), 1..60)) {
            let mut changes = ExternalChanges::default();
            let (mut count, mut second) = (1, 0);
            observe(&mut changes, count, second);
            for (ours, new) in counts {
                second += 1;
                if ours {
                    changes.asked(new, at(second));
                }
                let verdict = observe(&mut changes, new, second);
                prop_assert_eq!(verdict.is_some(), !ours && new != count);
                if verdict.is_some() {
                    prop_assert!(changes.quiet(at(second)).is_some());
                }
                count = new;
            }
        }
    }
}

//! The health state of one replica.

use std::{sync::Arc, time::Duration};

use tailback_config::HealthCheck;

use super::{
    check::{CheckState, Thresholds},
    hang::{Change, HangDetector, LongestSilence, ReplicaProgress},
};
use crate::{
    clock::Nanos,
    orchestrator::probe::NotReady,
    replica::{
        Replica,
        health::{HealthReport, Standing},
    },
};

/// A replica that answers probes is still ejected as stalled, if one of its requests has waited
/// for this many times as long as hangs are suspected after, while other replicas answer.
const STALLED: u32 = 20;
/// And for at least this many times the longest silence.
const STALLED_FACTOR: u32 = 3;
/// An unhealthy replica with requests in flight is kept this many times longer.
const BUSY_FACTOR: u32 = 5;

/// What is known of a replica.
pub(super) struct ReplicaMonitor {
    pub replica: Arc<Replica>,
    /// The number of the last observation that included it.
    pub look: u64,
    hang: HangDetector,
    check: CheckState,
    /// When the next health check is due; `None`: one is under way.
    check_at: Option<Nanos>,
    /// Since when it has hung or been unhealthy.
    bad_since: Option<Nanos>,
    /// Whether it was ejected as stalled and has sent no byte since.
    is_stalled: bool,
    /// How many requests it had been given in total at the last check.
    taken_at_check: u64,
    /// Whether its replacement has been asked for.
    is_given_up: bool,
}

/// The probes to send now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Due {
    /// Whether to probe for a sign of life.
    pub life: bool,
    /// Whether to send the health check.
    pub check: bool,
}

/// What an observation has found.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub due: Due,
    pub report: Option<HealthReport>,
    /// Whether any byte came from it since the last look.
    pub responded: bool,
}

impl ReplicaMonitor {
    /// The first checks of replicas are spread over the period.
    pub(super) fn new(replica: Arc<Replica>, settings: &HealthCheck, now: Nanos) -> Self {
        let first = settings.period.mul_f64(fastrand::f64());
        Self {
            replica,
            look: 0,
            hang: HangDetector::default(),
            check: CheckState::default(),
            check_at: Some(now + first),
            bad_since: None,
            is_stalled: false,
            taken_at_check: 0,
            is_given_up: false,
        }
    }

    fn progress(&self, responded: bool) -> ReplicaProgress {
        ReplicaProgress {
            responded,
            in_flight: self.replica.in_flight(),
            taken: self.replica.health().counts().taken,
        }
    }

    /// Observes what the replica has done. `longest` is the longest silence of its model.
    /// `others_answer`: another replica has sent a byte lately.
    pub(super) fn look(
        &mut self,
        settings: &HealthCheck,
        has_probe: bool,
        longest: &mut LongestSilence,
        others_answer: bool,
        now: Nanos,
    ) -> Look {
        let responded = self.replica.health().take_responded();
        let mut look = Look {
            responded,
            ..Look::default()
        };
        self.is_stalled &= !responded;
        if let Some(floor) = settings.hang {
            let patience = longest.patience(floor);
            let step = self.hang.observe(self.progress(responded), patience, now);
            if let Some(ended) = step.ended {
                longest.ended(ended, now);
            }
            look.due.life = step.probe;
            look.report = step.change.map(|change| self.changed(change, now));
            if look.report.is_none() && others_answer && self.stalls(floor, longest, now) {
                self.is_stalled = true;
                let silence = self.hang.asked_in_vain(now);
                look.report = Some(HealthReport::Stalled(silence));
            }
        }
        if has_probe && self.check_at.is_some_and(|at| now >= at) {
            self.check_at = None;
            look.due.check = true;
        }
        look
    }

    /// Whether one of its requests has waited for too long.
    fn stalls(&self, floor: Duration, longest: &LongestSilence, now: Nanos) -> bool {
        let (standing, since) = self.replica.health().standing();
        if standing != Standing::Healthy || self.replica.in_flight() == 0 {
            return false;
        }
        let patience = match self.is_stalled {
            // It gets requests again on trial after an ejection, so less patience is due.
            true => longest.patience(floor),
            false => (floor * STALLED).max(longest.get().saturating_mul(STALLED_FACTOR)),
        };
        self.hang.asked_in_vain(now).min(now.since(since)) >= patience
    }

    /// Takes the result of a probe for a sign of life.
    pub(super) fn life_probed(&mut self, is_alive: bool, now: Nanos) -> Option<HealthReport> {
        let change = self.hang.probed(is_alive, self.progress(false), now)?;
        Some(self.changed(change, now))
    }

    /// Takes the result of a health check.
    pub(super) fn checked(
        &mut self,
        result: &Result<(), NotReady>,
        settings: &HealthCheck,
        now: Nanos,
    ) -> Option<HealthReport> {
        self.check_at = Some(now + settings.period);
        let taken = self.replica.health().counts().taken;
        let was_busy = self.replica.in_flight() > 0 || taken != self.taken_at_check;
        self.taken_at_check = taken;
        if matches!(result, Err(NotReady::Silent(_))) && was_busy {
            // A busy server may be too slow to answer a probe. The hang detector decides.
            return None;
        }
        let thresholds = Thresholds {
            healthy: settings.healthy_threshold,
            unhealthy: settings.unhealthy_threshold,
        };
        self.check.checked(result.is_ok(), thresholds)?;
        Some(self.report(now, result.as_ref().err().map(ToString::to_string)))
    }

    /// Whether it has been unhealthy for so long that it must be replaced. Returns `true` once.
    pub(super) fn give_up(&mut self, settings: &HealthCheck, now: Nanos) -> bool {
        let first = !self.is_given_up && self.is_past_help(settings, now);
        self.is_given_up |= first;
        first
    }

    fn is_past_help(&self, settings: &HealthCheck, now: Nanos) -> bool {
        let Some(limit) = settings.replace_after else {
            return false;
        };
        let busy = self.replica.in_flight() > 0;
        let limit = limit * if busy { BUSY_FACTOR } else { 1 };
        let bad = self
            .bad_since
            .is_some_and(|since| now.since(since) >= limit);
        bad || self.is_stalled && busy && self.hang.asked_in_vain(now) >= limit
    }

    fn changed(&mut self, change: Change, now: Nanos) -> HealthReport {
        match change {
            Change::Hung(silence) => {
                self.bad_since.get_or_insert(now);
                HealthReport::Hung(silence)
            }
            Change::Recovered => self.report(now, None),
        }
    }

    /// Its health as a report. `why` is the result of the last check.
    fn report(&mut self, now: Nanos, why: Option<String>) -> HealthReport {
        if self.hang.is_hung() {
            return HealthReport::Hung(self.hang.silence(now));
        }
        if self.check.is_unhealthy() {
            self.bad_since.get_or_insert(now);
            return HealthReport::Unhealthy(why.unwrap_or_else(|| "its health checks fail".into()));
        }
        self.bad_since = None;
        HealthReport::Fine
    }
}

//! One replica under watch.

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

/// A replica is ejected as stalled, although it is alive, once a request has waited in vain for
/// this many times as long as hung ones are suspected after, at least, while others answer.
const STALLED: u32 = 20;
/// And for this many times the longest silence.
const STALLED_FACTOR: u32 = 3;
/// How much longer an unhealthy replica is kept while it has requests.
const BUSY_FACTOR: u32 = 5;

/// What is known of a replica.
pub(super) struct ReplicaMonitor {
    pub replica: Arc<Replica>,
    /// The last look at which it was there.
    pub look: u64,
    hang: HangDetector,
    check: CheckState,
    /// When it is checked next; `None`: a check is under way.
    check_at: Option<Nanos>,
    /// Since when it hangs or is unhealthy.
    bad_since: Option<Nanos>,
    /// It was ejected as stalled, and no byte has come since.
    is_stalled: bool,
    /// Requests that it had been given at the last check.
    taken_at_check: u64,
    /// Its replacement was asked for.
    is_given_up: bool,
}

/// The probes to send now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Due {
    /// Whether it shows any sign of life.
    pub life: bool,
    /// The health check.
    pub check: bool,
}

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub due: Due,
    pub report: Option<HealthReport>,
    /// Whether any byte came from it since the last look.
    pub responded: bool,
}

impl ReplicaMonitor {
    /// Its first check is a part of the period away, another one for each.
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

    /// Looks at what it has done. `longest`: the longest silence of its model. `others_answer`: a
    /// byte came from another replica lately.
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

    /// Whether a request that it was given has waited in vain for too long.
    fn stalls(&self, floor: Duration, longest: &LongestSilence, now: Nanos) -> bool {
        let (standing, since) = self.replica.health().standing();
        if standing != Standing::Healthy || self.replica.in_flight() == 0 {
            return false;
        }
        let patience = match self.is_stalled {
            // It is back on trial.
            true => longest.patience(floor),
            false => (floor * STALLED).max(longest.get().saturating_mul(STALLED_FACTOR)),
        };
        self.hang.asked_in_vain(now).min(now.since(since)) >= patience
    }

    /// Whether a sign of life came.
    pub(super) fn life_probed(&mut self, is_alive: bool, now: Nanos) -> Option<HealthReport> {
        let change = self.hang.probed(is_alive, self.progress(false), now)?;
        Some(self.changed(change, now))
    }

    /// What its health check got.
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
            // A server that is busy may not get round to a probe. The hang detector decides.
            return None;
        }
        let thresholds = Thresholds {
            healthy: settings.healthy_threshold,
            unhealthy: settings.unhealthy_threshold,
        };
        self.check.checked(result.is_ok(), thresholds)?;
        Some(self.report(now, result.as_ref().err().map(ToString::to_string)))
    }

    /// Whether it has been bad for so long that it is to be replaced: said once.
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

    /// How it is. `why`: what the last check got.
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

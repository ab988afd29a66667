//! Decides by health which of a pool's replicas get requests.
//!
//! A replica gets no requests while it is ejected ([`outlier_detection`]), for a while after a
//! failed connection attempt, and for as long as it asked to back off. If this leaves no replica,
//! the replicas with the mildest of these reasons get requests, so that callers see the replicas'
//! own responses.
//!
//! A replica that gets requests again has a small share of them at first ([`slow_start`]).
//!
//! All of this is behind a lock that only failing requests take.

mod outlier_detection;
mod slow_start;

use std::{sync::Arc, time::Duration};

use tailback_config::{OutlierDetection, SlowStart};
use tailback_scaler::{
    clock::Nanos,
    replica::{
        Replica,
        health::{Failure, HealthReport, Standing},
    },
};

use self::{
    outlier_detection::{Cause, Change, Observation, OutlierDetector, stretched},
    slow_start::SlowStarter,
};

/// How long a replica gets no requests after a failed connection attempt. It grows by this much
/// with each further failure in a row.
const UNREACHABLE: Duration = Duration::from_secs(1);
/// The longest such time.
const UNREACHABLE_MOST: Duration = Duration::from_secs(10);
/// How often a replica on trial is reviewed, until it has answered a request.
const TRIAL: Duration = Duration::from_millis(500);

/// The health of a pool's replicas.
#[derive(Debug, Default)]
pub(super) struct PoolHealth {
    replicas: Vec<Arc<Replica>>,
    /// One for each replica, in the same order.
    absences: Vec<Absence>,
    detector: OutlierDetector,
    slow_starter: SlowStarter,
    /// The number of ejections, by [`Reason`].
    ejections: [u64; 6],
}

/// Why a replica gets no requests, as in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    ConsecutiveFailures,
    FailurePercentage,
    Stalled,
    Unreachable,
    Unhealthy,
    Hung,
}

/// Reasons besides outlier detection for which a replica gets no requests.
#[derive(Clone, Copy, Debug, Default)]
struct Absence {
    backing_off_until: Nanos,
    unreachable_until: Nanos,
    /// Failed connection attempts in a row, without those that were made while it got no requests.
    unreachable: u32,
    /// The state found by the scaler: healthy, unhealthy or hung.
    watched: Standing,
    /// Whether it was logged that the replica gets no requests.
    is_logged: bool,
}

impl PoolHealth {
    /// Changes the settings.
    pub(super) fn configure(
        &mut self,
        outlier_detection: Option<OutlierDetection>,
        slow_start: Option<SlowStart>,
        now: Nanos,
    ) {
        self.slow_starter.configure(slow_start);
        let changes = self.detector.configure(outlier_detection);
        self.apply(changes, now);
    }

    /// After how many failures in a row [`failed`](Self::failed) must be called; `None`: never.
    pub(super) fn threshold(&self) -> Option<u32> {
        self.detector.threshold()
    }

    /// The number of ejections, by the label of the reason.
    pub(super) fn ejections(&self) -> [(&'static str, u64); 6] {
        Reason::ALL.map(|reason| (reason.label(), self.ejections[reason as usize]))
    }

    /// All replicas, healthy or not.
    pub(super) fn replicas(&self) -> &[Arc<Replica>] {
        &self.replicas
    }

    /// Replaces the set of replicas. Replicas in both sets keep their state.
    pub(super) fn set_replicas(&mut self, replicas: &[Arc<Replica>], now: Nanos) {
        let position = |replica: &Arc<Replica>| {
            let mut known = self.replicas.iter();
            known.position(|known| Arc::ptr_eq(known, replica))
        };
        let former: Vec<_> = replicas.iter().map(position).collect();
        let absence =
            |former: &Option<usize>| former.map_or_else(Absence::default, |i| self.absences[i]);
        self.absences = former.iter().map(absence).collect();
        self.replicas = replicas.to_vec();
        self.slow_starter.set_replicas(&former, now);
        let counts = |which: usize| self.replicas[which].health().counts();
        let changes = self.detector.set_replicas(&former, counts);
        self.apply(changes, now);
    }

    /// A replica has failed a request: a connection attempt, or the last of
    /// [`threshold`](Self::threshold) requests in a row, or of a multiple of that.
    pub(super) fn failed(&mut self, replica: &Replica, failure: Failure, now: Nanos) {
        let Some(which) = self.position(replica) else {
            return;
        };
        if failure == Failure::Connect {
            return self.unreachable(which, now);
        }
        let seen = self.observe(now);
        let changes = self.detector.failed(which, &seen, now, fastrand::f64());
        self.apply(changes, now);
    }

    /// A replica asks for no requests until `until`.
    pub(super) fn back_off(&mut self, replica: &Replica, until: Nanos, now: Nanos) {
        if let Some(which) = self.position(replica) {
            let present = &mut self.absences[which].backing_off_until;
            *present = until.max(*present);
            self.show(which, now);
        }
    }

    /// The scaler has watched a replica and reports this.
    pub(super) fn reported(&mut self, replica: &Replica, report: HealthReport, now: Nanos) {
        let Some(which) = self.position(replica) else {
            return;
        };
        let (standing, reason, why) = match report {
            HealthReport::Fine => {
                self.absences[which].watched = Standing::Healthy;
                self.show(which, now);
                return self.log_return(which, now);
            }
            HealthReport::Stalled(silence) => {
                let changes = self.detector.stalled(which, silence, now, fastrand::f64());
                return self.apply(changes, now);
            }
            HealthReport::Unhealthy(why) => (
                Standing::Unhealthy,
                Reason::Unhealthy,
                format!("its health checks fail: {why}"),
            ),
            HealthReport::Hung(silence) => (
                Standing::Hung,
                Reason::Hung,
                format!(
                    "it hangs: no byte for {:.1} s, and no sign of life from its address",
                    silence.as_secs_f64()
                ),
            ),
        };
        self.absences[which].watched = standing;
        self.ejected(which, reason, &why, now);
    }

    /// Ends ejections and back-offs whose time is over, and compares the shares of failures when
    /// that is due.
    pub(super) fn review(&mut self, now: Nanos) {
        let seen = self.observe(now);
        let changes = self.detector.review(&seen, now, fastrand::f64);
        self.apply(changes, now);
        for which in 0..self.replicas.len() {
            self.show(which, now);
            self.log_return(which, now);
        }
    }

    /// Sets the weight of each replica. Call it after each change of health, and when
    /// [`review_at`](Self::review_at) says so.
    pub(super) fn weigh(&mut self, now: Nanos) {
        let standings: Vec<_> = (0..self.replicas.len())
            .map(|which| self.standing(which, now))
            .collect();
        let is_healthy = |which: usize| standings[which] == Standing::Healthy;
        let weights = self.slow_starter.weights(is_healthy, now);
        for (replica, weight) in self.replicas.iter().zip(weights) {
            replica.set_weight(weight);
        }
    }

    /// When [`review`](Self::review) must be called next.
    pub(super) fn review_at(&self, now: Nanos) -> Nanos {
        let due = |absence: &Absence| {
            let ends = [absence.backing_off_until, absence.unreachable_until];
            let trial = absence.is_logged.then(|| now + TRIAL);
            ends.into_iter().filter(|end| *end > now).chain(trial).min()
        };
        let absences = self.absences.iter().filter_map(due);
        absences
            .chain([self.detector.review_at()])
            .chain(self.slow_starter.review_at(now))
            .min()
            .unwrap_or(Nanos(u64::MAX))
    }

    /// The replicas that get requests.
    pub(super) fn available(&self, now: Nanos) -> Vec<Arc<Replica>> {
        let standings = || (0..self.replicas.len()).map(|which| self.standing(which, now));
        // A hung replica would not answer, so its requests are held instead.
        let Some(best) = standings().min().filter(|best| *best < Standing::Hung) else {
            return Vec::new();
        };
        let of_best = self.replicas.iter().zip(standings());
        let of_best = of_best.filter(|(_, standing)| *standing == best);
        of_best.map(|(replica, _)| replica.clone()).collect()
    }

    fn position(&self, replica: &Replica) -> Option<usize> {
        let mut known = self.replicas.iter();
        known.position(|known| std::ptr::eq(&**known, replica))
    }

    fn unreachable(&mut self, which: usize, now: Nanos) {
        let absence = &mut self.absences[which];
        if absence.unreachable_until > now {
            return;
        }
        // It is the first failure after a success.
        if self.replicas[which].health().counts().failures_in_a_row <= 1 {
            absence.unreachable = 0;
        }
        absence.unreachable = absence.unreachable.saturating_add(1);
        let time = UNREACHABLE.saturating_mul(absence.unreachable);
        absence.unreachable_until = now + stretched(time.min(UNREACHABLE_MOST), fastrand::f64());
        self.ejected(which, Reason::Unreachable, "it cannot be connected to", now);
    }

    /// Notes that a replica gets no requests from now on.
    fn ejected(&mut self, which: usize, reason: Reason, why: &str, now: Nanos) {
        self.replicas[which].health().count_ejection();
        self.ejections[reason as usize] += 1;
        self.show(which, now);
        self.log_absence(which, why, now);
    }

    fn observe(&self, now: Nanos) -> Vec<Observation> {
        let observe = |(replica, absence): (&Arc<Replica>, &Absence)| Observation {
            counts: replica.health().counts(),
            available: absence.standing(now) == Standing::Healthy,
        };
        self.replicas
            .iter()
            .zip(&self.absences)
            .map(observe)
            .collect()
    }

    fn standing(&self, which: usize, now: Nanos) -> Standing {
        let ejected = match self.detector.ejected_until(which) {
            Some(_) => Standing::Ejected,
            None => Standing::Healthy,
        };
        self.absences[which].standing(now).max(ejected)
    }

    /// Records the replica's standing on the replica itself.
    fn show(&mut self, which: usize, now: Nanos) {
        let (replica, absence) = (&self.replicas[which], &self.absences[which]);
        let ejected = self.detector.ejected_until(which).unwrap_or(Nanos(0));
        let until = ejected
            .max(absence.backing_off_until)
            .max(absence.unreachable_until);
        replica.eject(until);
        let standing = self.standing(which, now);
        let before = replica.health().set_standing(standing, now);
        let was_out = before.is_some_and(|before| before > Standing::BackingOff);
        if was_out && standing == Standing::Healthy {
            self.slow_starter.returned(which, now);
        }
    }

    fn apply(&mut self, changes: Vec<Change>, now: Nanos) {
        for change in changes {
            match change {
                Change::Ejected { which, cause, .. } => {
                    let reason = match cause {
                        Cause::InARow(_) => Reason::ConsecutiveFailures,
                        Cause::Share { .. } => Reason::FailurePercentage,
                        Cause::Stalled(_) => Reason::Stalled,
                    };
                    self.ejected(which, reason, &self.sentence(which, cause, now), now);
                }
                Change::Returned { which } => {
                    let on_trial = self.threshold().map_or(0, |threshold| threshold - 1);
                    self.replicas[which]
                        .health()
                        .set_failures_in_a_row(on_trial);
                    self.show(which, now);
                }
            }
        }
    }

    /// A sentence on why the replica was ejected.
    fn sentence(&self, which: usize, cause: Cause, now: Nanos) -> String {
        let last = self.replicas[which].health().last_failure(now);
        let last = last.map_or_else(String::new, |(failure, _)| {
            format!("; the last time, it {failure}")
        });
        match cause {
            Cause::InARow(count) => format!("it failed {count} requests in a row{last}"),
            Cause::Stalled(silence) => format!(
                "it answered none of the requests that it was given for {:.1} s, and others answer",
                silence.as_secs_f64()
            ),
            Cause::Share { own, others } => format!(
                "it failed {:.0} % of its requests, the other replicas {:.0} %{last}",
                own * 100.0,
                others * 100.0
            ),
        }
    }

    /// Logs that a replica gets no requests, once until it returns.
    fn log_absence(&mut self, which: usize, why: &str, now: Nanos) {
        if std::mem::replace(&mut self.absences[which].is_logged, true) {
            return;
        }
        let (replica, all) = (&self.replicas[which], self.replicas.len());
        let absent = self.standing(which, now) != Standing::Healthy;
        let others = self.available(now).len();
        match absent && all > 1 {
            true => {
                tracing::warn!(%replica, "ejected: {why}; {others} of {all} replicas get requests")
            }
            false => tracing::warn!(%replica, "{why}; it is the only replica"),
        }
    }

    /// Logs that a replica that had been ejected has answered a request again.
    fn log_return(&mut self, which: usize, now: Nanos) {
        let replica = &self.replicas[which];
        let is_back = self.standing(which, now) == Standing::Healthy
            && replica.health().counts().failures_in_a_row == 0;
        if is_back && std::mem::take(&mut self.absences[which].is_logged) {
            tracing::info!(%replica, "no longer ejected: it has answered a request");
        }
    }
}

impl Absence {
    fn standing(&self, now: Nanos) -> Standing {
        if self.watched > Standing::Unreachable {
            self.watched
        } else if self.unreachable_until > now {
            Standing::Unreachable
        } else if self.backing_off_until > now {
            Standing::BackingOff
        } else {
            Standing::Healthy
        }
    }
}

impl Reason {
    const ALL: [Self; 6] = [
        Self::ConsecutiveFailures,
        Self::FailurePercentage,
        Self::Stalled,
        Self::Unreachable,
        Self::Unhealthy,
        Self::Hung,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::FailurePercentage => "failure_percentage",
            Self::Stalled => "stalled",
            Self::Unreachable => "unreachable",
            Self::Unhealthy => "unhealthy",
            Self::Hung => "hung",
        }
    }
}

#[cfg(test)]
mod tests;

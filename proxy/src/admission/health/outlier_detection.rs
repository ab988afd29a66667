//! Outlier detection: finds the replicas of a pool that fail more than the others, and ejects them
//! for a while. It follows Envoy's outlier detection (envoyproxy.io), with three differences. A
//! replica is compared with the others, so that none is ejected for failures that all have. An
//! ejected replica returns on trial, and its first failure ejects it again. If all remaining
//! replicas begin to fail, the ejected ones return.
//!
//! A state machine over plain data: it is given counts and the time, and returns changes.

use std::time::Duration;

use tailback_config::OutlierDetection;
use tailback_scaler::{clock::Nanos, replica::health::HealthCounts};

/// Random extension of ejections, as a share of their time, so that replicas ejected at the same
/// time do not all return at the same time.
const JITTER: f64 = 0.2;

/// The present state of a replica.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation {
    pub counts: HealthCounts,
    /// Whether it takes requests, apart from this detector.
    pub available: bool,
}

/// Why a replica was ejected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cause {
    /// It failed this many requests in a row.
    InARow(u32),
    /// The share of its requests that failed, and that of all others together, from 0 to 1.
    Share { own: f64, others: f64 },
    /// It has answered no request for this time, while others have answered.
    Stalled(Duration),
}

/// A change for a replica, by its position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    Ejected {
        which: usize,
        until: Nanos,
        cause: Cause,
    },
    /// The replica gets requests again, on trial: its next failure ejects it.
    Returned { which: usize },
}

/// The detector of one pool.
#[derive(Debug, Default)]
pub(super) struct OutlierDetector {
    /// `None`: the detector is off.
    settings: Option<OutlierDetection>,
    records: Vec<Record>,
    /// When the shares of failures are compared next.
    compare_at: Nanos,
}

/// The detector's state of a replica.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    /// The counts at the start of the interval.
    before: HealthCounts,
    ejected_until: Option<Nanos>,
    /// The number of its ejections, minus the number of intervals without failures since.
    times: u32,
}

impl OutlierDetector {
    /// Changes the settings. With `None`, all ejected replicas return.
    pub(super) fn configure(&mut self, settings: Option<OutlierDetection>) -> Vec<Change> {
        self.settings = settings;
        self.within_limit()
    }

    /// After how many failures in a row [`failed`](Self::failed) must be called; `None`: never.
    pub(super) fn threshold(&self) -> Option<u32> {
        self.settings.map(|settings| settings.consecutive_failures)
    }

    /// Until when the replica is ejected; `None` if it is not.
    pub(super) fn ejected_until(&self, which: usize) -> Option<Nanos> {
        self.records[which].ejected_until
    }

    /// Replaces the replicas. `former` holds the previous position of each, if it had one.
    pub(super) fn set_replicas(
        &mut self,
        former: &[Option<usize>],
        counts: impl Fn(usize) -> HealthCounts,
    ) -> Vec<Change> {
        let record = |(which, former): (usize, &Option<usize>)| match former {
            Some(former) => self.records[*former],
            None => Record {
                before: counts(which),
                ..Record::default()
            },
        };
        self.records = former.iter().enumerate().map(record).collect();
        self.within_limit()
    }

    /// A replica has failed as many requests in a row as [`threshold`](Self::threshold) says, or a
    /// multiple of it. `jitter` is from 0 to 1.
    pub(super) fn failed(
        &mut self,
        which: usize,
        replicas: &[Observation],
        now: Nanos,
        jitter: f64,
    ) -> Vec<Change> {
        let Some(settings) = self.settings else {
            return Vec::new();
        };
        let failing =
            |i: usize| replicas[i].counts.failures_in_a_row >= settings.consecutive_failures;
        if self.is_ejected(which) || !failing(which) {
            return Vec::new();
        }
        let can_take_over =
            |&i: &usize| i != which && replicas[i].available && !self.is_ejected(i) && !failing(i);
        if !(0..self.records.len()).any(|i| can_take_over(&i)) {
            // If all fail, none is an outlier. Ejected replicas may have recovered.
            return self.return_where(|_| true);
        }
        let row = Cause::InARow(replicas[which].counts.failures_in_a_row);
        self.eject(which, row, now, jitter).into_iter().collect()
    }

    /// A replica has answered no request for this time, while others have answered. `jitter` is
    /// from 0 to 1.
    pub(super) fn stalled(
        &mut self,
        which: usize,
        silence: Duration,
        now: Nanos,
        jitter: f64,
    ) -> Vec<Change> {
        if self.is_ejected(which) {
            return Vec::new();
        }
        let ejected = self.eject(which, Cause::Stalled(silence), now, jitter);
        ejected.into_iter().collect()
    }

    /// Ends ejections whose time is over. At the end of an interval, compares the shares of
    /// failures. `jitter` returns numbers from 0 to 1.
    pub(super) fn review(
        &mut self,
        replicas: &[Observation],
        now: Nanos,
        mut jitter: impl FnMut() -> f64,
    ) -> Vec<Change> {
        let mut changes = self.return_where(|until| until <= now);
        let Some(settings) = self.settings else {
            return changes;
        };
        if now < self.compare_at {
            return changes;
        }
        // The first interval begins with the first review.
        if self.compare_at > Nanos(0) {
            let mut outliers = self.outliers(replicas, &settings);
            outliers.sort_by(|a, b| b.1.total_cmp(&a.1));
            for (which, own, others) in outliers {
                let cause = Cause::Share { own, others };
                changes.extend(self.eject(which, cause, now, jitter()));
            }
        }
        self.compare_at = now + settings.interval;
        for (record, replica) in self.records.iter_mut().zip(replicas) {
            record.before = replica.counts;
            if record.ejected_until.is_none() {
                record.times = record.times.saturating_sub(1);
            }
        }
        changes
    }

    /// When [`review`](Self::review) must be called next.
    pub(super) fn review_at(&self) -> Nanos {
        let compare = self.settings.map(|_| self.compare_at);
        let returns = self
            .records
            .iter()
            .filter_map(|record| record.ejected_until);
        returns.chain(compare).min().unwrap_or(Nanos(u64::MAX))
    }

    /// Replicas whose share of failures exceeds that of the others, with both shares.
    fn outliers(
        &self,
        replicas: &[Observation],
        settings: &OutlierDetection,
    ) -> Vec<(usize, f64, f64)> {
        let in_interval = |i: usize| {
            let (now, before) = (replicas[i].counts, self.records[i].before);
            let requests = now.taken.saturating_sub(before.taken);
            (requests, now.failures.saturating_sub(before.failures))
        };
        let compared: Vec<usize> = (0..replicas.len())
            .filter(|&i| replicas[i].available && !self.is_ejected(i))
            .collect();
        let all = compared.iter().fold((0, 0), |sum, &i| {
            let (requests, failures) = in_interval(i);
            (sum.0 + requests, sum.1 + failures)
        });
        let share = |(requests, failures): (u64, u64)| failures as f64 / requests.max(1) as f64;
        let enough = u64::from(settings.failure_percentage_request_volume);
        let margin = f64::from(settings.failure_percentage_threshold) / 100.0;
        let outlier = |&i: &usize| {
            let own = in_interval(i);
            let others = (all.0 - own.0, all.1 - own.1);
            let is_outlier = own.0 >= enough
                && others.0 >= enough
                && share(own).min(1.0) >= share(others).min(1.0) + margin;
            is_outlier.then(|| (i, share(own).min(1.0), share(others).min(1.0)))
        };
        compared.iter().filter_map(outlier).collect()
    }

    fn is_ejected(&self, which: usize) -> bool {
        self.records[which].ejected_until.is_some()
    }

    /// The largest number of replicas ejected at once.
    fn limit(&self) -> usize {
        let percent = self.settings.map_or(0, |s| s.max_ejection_percent);
        self.records.len() * percent as usize / 100
    }

    fn ejected(&self) -> usize {
        self.records
            .iter()
            .filter(|record| record.ejected_until.is_some())
            .count()
    }

    fn eject(&mut self, which: usize, cause: Cause, now: Nanos, jitter: f64) -> Option<Change> {
        let settings = self.settings?;
        if self.ejected() >= self.limit() {
            return None;
        }
        let record = &mut self.records[which];
        record.times = record.times.saturating_add(1);
        let time = settings.base_ejection.saturating_mul(record.times);
        let until = now + stretched(time.min(settings.max_ejection), jitter);
        record.ejected_until = Some(until);
        Some(Change::Ejected {
            which,
            until,
            cause,
        })
    }

    fn return_where(&mut self, is_due: impl Fn(Nanos) -> bool) -> Vec<Change> {
        let due = |(which, record): (usize, &mut Record)| {
            record.ejected_until.take_if(|until| is_due(*until))?;
            Some(Change::Returned { which })
        };
        self.records
            .iter_mut()
            .enumerate()
            .filter_map(due)
            .collect()
    }

    /// Lets replicas beyond the limit return, those first whose ejection ends first.
    fn within_limit(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        while self.ejected() > self.limit() {
            let ends = self
                .records
                .iter()
                .filter_map(|record| record.ejected_until);
            let Some(first) = ends.min() else { break };
            changes.extend(self.return_where(|until| until <= first));
        }
        changes
    }
}

/// `time`, extended by up to [`JITTER`] of it.
pub(super) fn stretched(time: Duration, jitter: f64) -> Duration {
    time.mul_f64(1.0 + JITTER * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests;

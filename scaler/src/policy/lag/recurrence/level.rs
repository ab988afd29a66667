//! The memory of one level: its needs and the gaps between them.
//!
//! Gaps are counted in octaves of age (below 2 s, 4 s, 8 s, …), so that a few counters fit gaps
//! of any length.

use crate::clock::Nanos;

/// Number of octaves: gaps up to 2^17 s, a day and a half.
const OCTAVES: usize = 17;
#[derive(Clone, Debug)]
pub(super) struct Level {
    /// Number of gaps that ended, by the octave of their length.
    ended: [f32; OCTAVES],
    /// Seconds that gaps have spent in each octave.
    spent: [f32; OCTAVES],
    /// When its current or last need began, and when that ended.
    began: Nanos,
    until: Nanos,
    /// Number of needs so far, and their total seconds.
    needs: f32,
    needed: f32,
    /// The longest gap after which it was needed again, in seconds.
    longest: f32,
    /// The weight of the prior, in gaps. By the prior, a gap that has lasted for a time lasts at
    /// least twice as long with a probability of a half (a Pareto tail with exponent 1), which
    /// has no time scale.
    prior_gaps: f64,
}

impl Level {
    /// A level that is first needed at `now`. Demand was watched since `watched`; the time until
    /// now counts as a gap.
    pub(super) fn new(watched: Nanos, prior_gaps: f64, now: Nanos) -> Self {
        let mut level = Self {
            ended: [0.0; OCTAVES],
            spent: [0.0; OCTAVES],
            began: now,
            until: watched,
            needs: 0.0,
            needed: 0.0,
            longest: 0.0,
            prior_gaps,
        };
        if watched < now {
            level.begin_need(now);
        }
        level
    }

    pub(super) fn begin_need(&mut self, now: Nanos) {
        let gap = now.since(self.until).as_secs_f32();
        let last = octave(gap);
        for (number, spent) in self.spent.iter_mut().enumerate().take(last + 1) {
            *spent += (gap - start(number)).min(start(number + 1) - start(number));
        }
        self.ended[last] += 1.0;
        if self.needs > 0.0 {
            self.longest = self.longest.max(gap);
        }
        self.began = now;
    }

    pub(super) fn end_need(&mut self, now: Nanos) {
        self.until = now;
        self.needs += 1.0;
        self.needed += now.since(self.began).as_secs_f32();
    }

    /// Whether it was needed again after a gap.
    pub(super) fn recurs(&self) -> bool {
        self.needs >= 2.0
    }

    /// How many seconds its current need has lasted.
    pub(super) fn needed_for(&self, now: Nanos) -> f64 {
        now.since(self.began).as_secs_f64()
    }

    /// How many seconds a need that has lasted for `elapsed` is expected to last in all; at least
    /// 1.
    pub(super) fn lasts(&self, elapsed: f64) -> f64 {
        let mean = (f64::from(self.needed) + elapsed) / (f64::from(self.needs) + 1.0);
        mean.max(elapsed).max(1.0)
    }

    /// Mean length of a need in seconds; at least 1.
    pub(super) fn need(&self) -> f64 {
        (f64::from(self.needed) / f64::from(self.needs.max(1.0))).max(1.0)
    }

    /// Whether it has been idle for more than `max_idle` seconds and for more than twice its
    /// longest gap.
    pub(super) fn has_gone(&self, max_idle: f64, now: Nanos) -> bool {
        let age = now.since(self.until).as_secs_f64();
        age > max_idle.max(2.0 * f64::from(self.longest))
    }

    /// Whether an idle level is worth its replica, if its absence costs `absence` replica-seconds
    /// and its start costs `begin` of them.
    pub(super) fn is_worth(&self, absence: f64, begin: f64, now: Nanos) -> bool {
        let age = now.since(self.until).as_secs_f32();
        let (mut survives, mut waited, mut from) = (1.0, 0.0, age);
        for number in octave(age)..OCTAVES {
            let span = f64::from((start(number + 1) - from).max(0.0));
            let hazard = self.hazard(number, f64::from(from));
            let ends = survives * (1.0 - (-hazard * span).exp());
            waited += ends / hazard;
            survives -= ends;
            if (1.0 - survives) * absence >= waited + begin {
                return true;
            }
            from = start(number + 1);
        }
        false
    }

    /// How many gaps of this age end a second; more than 0.
    fn hazard(&self, octave: usize, age: f64) -> f64 {
        let typical = f64::from(start(octave) + start(octave + 1)) / 2.0;
        // The prior adds one gap that has reached this age, over about its own age.
        let spent = f64::from(self.spent[octave]) + self.prior_gaps * typical.max(age);
        (f64::from(self.ended[octave]) + self.prior_gaps) / spent
    }
}

/// The octave that contains `seconds`.
fn octave(seconds: f32) -> usize {
    (seconds.max(1.0).log2() as usize).min(OCTAVES - 1)
}

/// The beginning of an octave, in seconds.
fn start(octave: usize) -> f32 {
    if octave == 0 {
        0.0
    } else {
        (1u32 << octave.min(31)) as f32
    }
}

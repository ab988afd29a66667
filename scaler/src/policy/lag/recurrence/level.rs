//! What is remembered of one level: when it was needed, and after what gaps again.
//!
//! Gaps are counted in octaves of age (below 2 s, 4 s, 8 s, …), so that a few are
//! enough and any length fits.

use crate::clock::Nanos;

/// Octaves of age: up to 2^17 s, a day and a half.
const OCTAVES: usize = 17;
#[derive(Clone, Debug)]
pub(super) struct Level {
    /// Gaps that ended, by the octave of their length.
    ended: [f32; OCTAVES],
    /// Seconds that gaps have spent in each octave.
    spent: [f32; OCTAVES],
    /// When its present need, or the last one, began, and when that ended.
    began: Nanos,
    until: Nanos,
    /// Needs so far, and their seconds.
    needs: f32,
    needed: f32,
    /// The longest gap after which it was needed again, in seconds.
    longest: f32,
    /// A gap before anything was seen is as long as it was so far, twice over, with
    /// a probability of a half (a Pareto tail with exponent 1): scale-free. Counts
    /// as this many gaps.
    prior_gaps: f64,
}

impl Level {
    /// First needed at `now`, where demand was looked at since `watched`: that it was
    /// not needed for so long is a gap, if there was any time.
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

    /// Whether it was needed again after it had not been.
    pub(super) fn recurs(&self) -> bool {
        self.needs >= 2.0
    }

    /// How many seconds its present need has lasted.
    pub(super) fn needed_for(&self, now: Nanos) -> f64 {
        now.since(self.began).as_secs_f64()
    }

    /// How many seconds a need that has lasted for `elapsed` probably lasts in all, at least 1.
    pub(super) fn lasts(&self, elapsed: f64) -> f64 {
        let mean = (f64::from(self.needed) + elapsed) / (f64::from(self.needs) + 1.0);
        mean.max(elapsed).max(1.0)
    }

    /// Seconds that a need lasts on average, at least 1.
    pub(super) fn need(&self) -> f64 {
        (f64::from(self.needed) / f64::from(self.needs.max(1.0))).max(1.0)
    }

    /// Whether it has been idle for more than `max_idle` seconds, and than twice as
    /// long as it ever was before it came back.
    pub(super) fn has_gone(&self, max_idle: f64, now: Nanos) -> bool {
        let age = now.since(self.until).as_secs_f64();
        age > max_idle.max(2.0 * f64::from(self.longest))
    }

    /// Whether an idle level is worth its replica, where being without it costs
    /// `absence` replica-seconds and `begin` are to be paid before it is there.
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

    /// Ends of gaps a second at this age; more than zero.
    fn hazard(&self, octave: usize, age: f64) -> f64 {
        let typical = f64::from(start(octave) + start(octave + 1)) / 2.0;
        // The prior: one gap that got this far, over about its own age.
        let spent = f64::from(self.spent[octave]) + self.prior_gaps * typical.max(age);
        (f64::from(self.ended[octave]) + self.prior_gaps) / spent
    }
}

/// The octave that `seconds` lie in.
fn octave(seconds: f32) -> usize {
    (seconds.max(1.0).log2() as usize).min(OCTAVES - 1)
}

/// Where an octave begins, in seconds.
fn start(octave: usize) -> f32 {
    if octave == 0 {
        0.0
    } else {
        (1u32 << octave.min(31)) as f32
    }
}

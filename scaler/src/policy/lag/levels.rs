//! What is remembered of bursts: for each number of replicas, how long after it
//! was last needed it tends to be needed again.
//!
//! Level k is needed while demand takes k replicas or more. A gap is the time
//! between the end of one need of a level and the beginning of the next. From
//! the gaps so far each level has a hazard by age: how probable it is, each
//! second, that a gap of this age ends now. Gaps are counted in octaves of age
//! (below 2 s, 4 s, 8 s, …), so that a few are enough and any length fits.
//!
//! An idle level is worth keeping as long as there is some time ahead within
//! which the probable saving, of what its absence would cost when it is needed
//! again, exceeds the replica-seconds of waiting for that. With a hazard that
//! is known this is the optimal stopping of the ski rental problem (Karlin,
//! Manasse, McGeoch & Owicki, "Competitive Randomized Algorithms for
//! Non-Uniform Problems", 1990); per-application histograms of idle times, to
//! the same end, are in Shahrad et al., "Serverless in the Wild", ATC 2020.

use crate::clock::Nanos;

/// Octaves of age: up to 2^17 s, a day and a half.
const OCTAVES: usize = 17;
/// A gap before anything was seen is as long as it was so far, twice over, with
/// a probability of a half (a Pareto tail with exponent 1): scale-free. Counts
/// as this many gaps.
const PRIOR_GAPS: f64 = 1.0;
/// Over how many seconds the spread of the need is taken.
const SPREAD_MEMORY: f64 = 600.0;
/// Levels that are remembered, at most: some 2 MB.
const MOST: u32 = 10_000;

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub(super) struct Levels {
    /// Level k at k − 1.
    levels: Vec<Level>,
    /// How many are needed now.
    now: usize,
    spread: Spread,
}

/// What a missing replica costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Price {
    /// Of a late request, as a multiple of its own work.
    pub late: f64,
    /// Seconds until a new replica is ready.
    pub start_up: f64,
}

impl Levels {
    /// `needed` replicas are needed at `now`.
    pub(super) fn see(&mut self, needed: u32, now: Nanos) {
        self.spread.pass(self.now as f64, now);
        let needed = needed.min(MOST) as usize;
        while self.now > needed {
            self.now -= 1;
            self.levels[self.now].end_need(now);
        }
        while self.now < needed {
            match self.levels.get_mut(self.now) {
                Some(level) => level.begin_need(now),
                None => self.levels.push(Level::new(now)),
            }
            self.now += 1;
        }
    }

    /// The most that were ever needed, and as many more as need varies by.
    pub(super) fn highest(&self) -> u32 {
        (self.levels.len() as f64 + self.spread.deviation()).ceil() as u32
    }

    /// How many seconds the present need of level `k` probably lasts yet.
    pub(super) fn lasts(&self, k: u32, now: Nanos) -> f64 {
        let index = k.max(1) as usize - 1;
        let Some(level) = self.levels.get(index) else {
            return 1.0;
        };
        let elapsed = if index < self.now {
            now.since(level.began).as_secs_f64()
        } else {
            0.0
        };
        let mean = (f64::from(level.needed) + elapsed) / (f64::from(level.needs) + 1.0);
        mean.max(elapsed).max(1.0)
    }

    /// The most replicas that are needed, or worth keeping of the `up` there
    /// are, or worth starting before they are needed.
    pub(super) fn keep(&self, up: u32, price: Price, now: Nanos) -> u32 {
        let spread = self.spread.deviation();
        let known = self.levels.len();
        let most = if self.now < known {
            // Beyond the record: three times the spread are hardly ever exceeded.
            (known + (3.0 * spread) as usize).min(MOST as usize)
        } else {
            known
        };
        let worth = |k: &usize| {
            // All that arrive while a level is missing are late, not only what is
            // above those that are there: the more, the smaller the part that is
            // missing. That is all above the present need, or as much as it varies.
            let missing = spread.max((k + 1 - self.now) as f64);
            let weight = ((k + 1) as f64 / missing).max(1.0);
            let start = if *k < up as usize {
                0.0
            } else {
                price.start_up
            };
            // Kept on suspicion, but started only if it ever came back, or the
            // highest that was ever needed did.
            let nearest = self.levels.get(*k).or(self.levels.last());
            if *k >= up as usize && !nearest.is_some_and(Level::recurs) {
                return false;
            }
            match self.levels.get(*k) {
                Some(level) => level.is_worth(price.absence(weight, level.need()), start, now),
                None => {
                    let need = self.levels.last().map_or(1.0, Level::need);
                    let absence = price.absence(weight, need);
                    let beyond = (k + 1 - known) as f64;
                    let rare = (-beyond / spread.max(1e-9)).exp();
                    // A record that stands for an age is broken, each second,
                    // with a probability of 1 ÷ age.
                    rare * absence >= self.spread.age(now) + start
                }
            }
        };
        let kept = (self.now..most).rev().find(worth);
        kept.map_or(self.now, |k| k + 1) as u32
    }
}

impl Price {
    /// Of a level that is missing when a need of `need` seconds begins:
    /// replicas asked for then end the lateness.
    fn absence(self, weight: f64, need: f64) -> f64 {
        self.start_up + self.late * weight * need.min(self.start_up)
    }
}

#[derive(Clone, Debug)]
struct Level {
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
}

impl Level {
    /// First needed at `now`.
    fn new(now: Nanos) -> Self {
        Self {
            ended: [0.0; OCTAVES],
            spent: [0.0; OCTAVES],
            began: now,
            until: now,
            needs: 0.0,
            needed: 0.0,
        }
    }

    fn begin_need(&mut self, now: Nanos) {
        let gap = now.since(self.until).as_secs_f32();
        let last = octave(gap);
        for (number, spent) in self.spent.iter_mut().enumerate().take(last + 1) {
            *spent += (gap - start(number)).min(start(number + 1) - start(number));
        }
        self.ended[last] += 1.0;
        self.began = now;
    }

    fn end_need(&mut self, now: Nanos) {
        self.until = now;
        self.needs += 1.0;
        self.needed += now.since(self.began).as_secs_f32();
    }

    /// Whether it was needed again after it had not been.
    fn recurs(&self) -> bool {
        self.needs >= 2.0
    }

    /// Seconds that a need lasts on average, at least 1.
    fn need(&self) -> f64 {
        (f64::from(self.needed) / f64::from(self.needs.max(1.0))).max(1.0)
    }

    /// Whether an idle level is worth its replica, where being without it costs
    /// `absence` replica-seconds and `begin` are to be paid before it is there.
    fn is_worth(&self, absence: f64, begin: f64, now: Nanos) -> bool {
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
        let spent = f64::from(self.spent[octave]) + PRIOR_GAPS * typical.max(age);
        (f64::from(self.ended[octave]) + PRIOR_GAPS) / spent
    }
}

/// Mean and variance over time of how many are needed, fading.
#[derive(Clone, Debug, Default)]
struct Spread {
    first: Option<Nanos>,
    last: Nanos,
    seconds: f64,
    sum: f64,
    squares: f64,
}

impl Spread {
    /// It was `n` since the last call.
    fn pass(&mut self, n: f64, now: Nanos) {
        if self.first.is_none() {
            (self.first, self.last) = (Some(now), now);
        }
        let span = now.since(self.last).as_secs_f64();
        let fade = (-span / SPREAD_MEMORY).exp();
        self.seconds = self.seconds * fade + span;
        self.sum = self.sum * fade + span * n;
        self.squares = self.squares * fade + span * n * n;
        self.last = now;
    }

    fn deviation(&self) -> f64 {
        if self.seconds <= 0.0 {
            return 0.0;
        }
        let mean = self.sum / self.seconds;
        (self.squares / self.seconds - mean * mean).max(0.0).sqrt()
    }

    /// Seconds since the first, at least 1.
    fn age(&self, now: Nanos) -> f64 {
        let first = self.first.unwrap_or(now);
        now.since(first).as_secs_f64().max(1.0)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const PRICE: Price = Price {
        late: 10.0,
        start_up: 30.0,
    };

    fn at(s: u64) -> Nanos {
        Nanos::from_duration(Duration::from_secs(s))
    }

    /// Needs `high` for 20 s of each `cycle`, 1 in between; ends with a need.
    fn cycles(high: u32, cycle: u64, count: u64) -> (Levels, u64) {
        let mut levels = Levels::default();
        for number in 0..count {
            levels.see(high, at(number * cycle));
            levels.see(1, at(number * cycle + 20));
        }
        (levels, (count - 1) * cycle + 20)
    }

    #[test]
    fn keeps_what_is_needed_again_soon_and_lets_go_of_what_is_not() {
        let (levels, end) = cycles(5, 120, 20);
        assert_eq!(levels.keep(5, PRICE, at(end + 60)), 5, "each two minutes");
        let (levels, end) = cycles(5, 7200, 20);
        assert_eq!(levels.keep(5, PRICE, at(end + 1200)), 1, "each two hours");
    }

    #[test]
    fn what_one_rush_needed_is_let_go_however_steady_it_is_afterwards() {
        let mut levels = Levels::default();
        levels.see(100, at(0));
        levels.see(10, at(30));
        assert_eq!(levels.keep(100, PRICE, at(90)), 100, "it may come back");
        for second in 90..1800 {
            levels.see(10, at(second));
        }
        assert_eq!(levels.keep(100, PRICE, at(1800)), 10);
    }

    #[test]
    fn one_need_is_no_reason_to_start_more() {
        let mut levels = Levels::default();
        levels.see(1, at(0));
        levels.see(0, at(1));
        for second in 1..600 {
            assert!(levels.keep(1, PRICE, at(second)) <= 1, "after {second} s");
        }
    }

    #[test]
    fn what_is_needed_is_kept() {
        let (mut levels, end) = cycles(3, 60, 3);
        levels.see(9, at(end + 1));
        assert_eq!(levels.keep(0, PRICE, at(end + 2)), 9);
        assert!(levels.lasts(9, at(end + 100)) >= 99.0, "as long again");
    }
}

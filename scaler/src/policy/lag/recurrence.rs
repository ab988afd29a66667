//! Remembers bursts: for each count of replicas, how long after the last need it tends to be
//! needed again.
//!
//! Level k is needed while demand takes k replicas or more. A gap is the time between two needs
//! of a level, or from the first observation to its first need. From the gaps so far, each level
//! has a hazard by age: the probability, each second, that a gap of this age ends now.
//!
//! An idle level is worth keeping if there is a span of time ahead in which the expected saving
//! exceeds the replica-seconds of waiting. The saving is what the level's absence would cost when
//! it is needed again. With a known hazard, this is optimal stopping in the ski rental problem
//! (Karlin, Manasse, McGeoch & Owicki, "Competitive Randomized Algorithms for Non-Uniform
//! Problems", 1990). Shahrad et al., "Serverless in the Wild", ATC 2020, use histograms of idle
//! times for the same purpose.
//!
//! A level may never be needed again, which no hazard can show. So a level is dropped, whatever
//! its worth, once it has been idle for the model's inactive time and for twice its longest gap
//! so far.

mod level;
mod statistics;

use self::{
    level::Level,
    statistics::{NeedDeviation, SteepestRise},
};
use super::super::Tuning;
use crate::clock::Nanos;

/// Largest number of levels that are remembered: some 2 MB.
const MOST: u32 = 10_000;

/// The levels of one model, and how many are needed now.
#[derive(Clone, Debug)]
pub(super) struct Recurrence {
    /// Level k is at index k − 1.
    levels: Vec<Level>,
    /// How many are needed now.
    now: usize,
    spread: NeedDeviation,
    rise: SteepestRise,
    /// When more levels were needed than ever before.
    record: Nanos,
    /// See [`Tuning::prior_gaps`].
    prior_gaps: f64,
}

/// The prices that decide whether a level is worth keeping.
#[derive(Clone, Copy, Debug)]
pub(super) struct Price {
    /// The price of late work, as a multiple of the work itself.
    pub late: f64,
    /// Seconds until a new replica is ready.
    pub start_up: f64,
    /// Seconds for which a level may be idle even if none of its gaps was as long.
    pub max_idle: f64,
}

impl Recurrence {
    /// No level was needed yet.
    pub(super) fn new(tuning: &Tuning) -> Self {
        Self {
            levels: Vec::new(),
            now: 0,
            spread: NeedDeviation::new(tuning.need_memory),
            rise: SteepestRise::default(),
            record: Nanos::default(),
            prior_gaps: tuning.prior_gaps,
        }
    }

    /// Notes that `needed` replicas are needed at `now`. A start takes `start_up` seconds.
    pub(super) fn see(&mut self, needed: u32, start_up: f64, now: Nanos) {
        self.spread.pass(self.now as f64, now);
        self.rise.pass(needed, start_up, now);
        let needed = needed.min(MOST) as usize;
        while self.now > needed {
            self.now -= 1;
            self.levels[self.now].end_need(now);
        }
        while self.now < needed {
            match self.levels.get_mut(self.now) {
                Some(level) => level.begin_need(now),
                None => {
                    self.levels
                        .push(Level::new(self.spread.first(), self.prior_gaps, now));
                    self.record = now;
                }
            }
            self.now += 1;
        }
    }

    /// The highest level that was ever needed, plus the deviation of need.
    pub(super) fn highest(&self) -> u32 {
        (self.levels.len() as f64 + self.spread.deviation()).ceil() as u32
    }

    /// How many of `coming` replicas are likely to be needed within `seconds`. All up to the
    /// record count. Of the rest, the share seconds ÷ age counts: with this probability, a record
    /// of that age is broken within `seconds`.
    pub(super) fn likely(&self, coming: f64, seconds: f64, now: Nanos) -> f64 {
        let age = now.since(self.record).as_secs_f64();
        let broken = if age > seconds { seconds / age } else { 1.0 };
        let beyond = (coming - self.levels.len() as f64).max(0.0);
        coming - beyond * (1.0 - broken)
    }

    /// How many more seconds the current need of level `k` is expected to last.
    pub(super) fn lasts(&self, k: u32, now: Nanos) -> f64 {
        let index = k.max(1) as usize - 1;
        let Some(level) = self.levels.get(index) else {
            return 1.0;
        };
        let elapsed = if index < self.now {
            level.needed_for(now)
        } else {
            0.0
        };
        level.lasts(elapsed)
    }

    /// The highest level that is needed, that is worth keeping (of the `up` replicas there are),
    /// or that is worth starting before it is needed.
    pub(super) fn keep(&self, up: u32, price: Price, now: Nanos) -> u32 {
        let spread = self.spread.deviation();
        let known = self.levels.len();
        let most = if self.now < known {
            // Beyond the record: three standard deviations are hardly ever exceeded.
            (known + (3.0 * spread) as usize).min(MOST as usize)
        } else {
            known
        };
        // A steeper rise than any so far, plus the deviation, would be seen early enough.
        let most = most.min(self.now + self.rise.highest() as usize + spread as usize);
        let worth = |k: &usize| {
            // While a level is missing, all arrivals are late, and not only the part above the
            // replicas that are there. The larger the missing part, the smaller is this level's
            // share of the lateness. The missing part is all above the current need, or at least
            // the deviation.
            let missing = spread.max((k + 1 - self.now) as f64);
            let weight = ((k + 1) as f64 / missing).max(1.0);
            let start = if *k < up as usize {
                0.0
            } else {
                price.start_up
            };
            // A level may be kept for `max_idle`. It is started ahead only if it, or else the
            // highest level so far, has ever come back.
            let nearest = self.levels.get(*k).or(self.levels.last());
            let gone = nearest.is_some_and(|level| level.has_gone(price.max_idle, now));
            if gone || (*k >= up as usize && !nearest.is_some_and(Level::recurs)) {
                return false;
            }
            match self.levels.get(*k) {
                Some(level) => level.is_worth(price.absence(weight, level.need()), start, now),
                None => {
                    let need = self.levels.last().map_or(1.0, Level::need);
                    let absence = price.absence(weight, need);
                    let beyond = (k + 1 - known) as f64;
                    let rare = (-beyond / spread.max(1e-9)).exp();
                    // A record that has stood for `age` seconds is broken in the next second with
                    // the probability 1 ÷ `age`.
                    rare * absence >= self.spread.age(now) + start
                }
            }
        };
        let kept = (self.now..most).rev().find(worth);
        kept.map_or(self.now, |k| k + 1) as u32
    }
}

impl Price {
    /// The cost, in replica-seconds, of a level that is missing when a need of `need` seconds
    /// begins. The lateness ends when replicas that are asked for then are ready. A queue builds
    /// up over that time, so half of the arrivals in it are late.
    fn absence(self, weight: f64, need: f64) -> f64 {
        self.start_up + self.late * weight * need.min(self.start_up) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const PRICE: Price = Price {
        late: 10.0,
        start_up: 30.0,
        max_idle: 1e9,
    };

    fn at(s: u64) -> Nanos {
        Nanos::from_duration(Duration::from_secs(s))
    }

    /// A recurrence that has seen `count` cycles of `cycle` seconds with a need of `high` for 20
    /// s and of 1 for the rest, and ends with a need; and the time of that end.
    fn cycles(high: u32, cycle: u64, count: u64) -> (Recurrence, u64) {
        let mut levels = Recurrence::new(&Tuning::default());
        for number in 0..count {
            levels.see(high, 30.0, at(number * cycle));
            levels.see(1, 30.0, at(number * cycle + 20));
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
        let mut levels = Recurrence::new(&Tuning::default());
        levels.see(100, 30.0, at(0));
        levels.see(10, 30.0, at(30));
        assert_eq!(levels.keep(100, PRICE, at(90)), 100, "it may come back");
        for second in 90..1800 {
            levels.see(10, 30.0, at(second));
        }
        assert_eq!(levels.keep(100, PRICE, at(1800)), 10);
    }

    #[test]
    fn what_is_a_long_way_up_is_let_go_unless_need_ever_rose_so_fast() {
        // One level up and down again within two minutes, twice; then 15 minutes at 1.
        let mut slow = Recurrence::new(&Tuning::default());
        slow.see(1, 30.0, at(0));
        for step in 0..20 {
            let up = (step % 10).min(10 - step % 10);
            slow.see(1 + up, 30.0, at(120 * u64::from(step)));
        }
        slow.see(1, 30.0, at(2400));
        // The same needs, but from one level to six at once.
        let mut fast = slow.clone();
        for round in 0..5 {
            fast.see(6, 30.0, at(2400 + 240 * round));
            fast.see(1, 30.0, at(2520 + 240 * round));
        }
        assert_eq!(slow.keep(6, PRICE, at(2460)), 3, "the rest is seen coming");
        assert_eq!(fast.keep(6, PRICE, at(3540)), 6);
    }

    #[test]
    fn growth_counts_beyond_the_record_the_less_the_longer_that_stands() {
        let mut levels = Recurrence::new(&Tuning::default());
        levels.see(3, 30.0, at(100));
        let likely = |coming, second| levels.likely(coming, 60.0, at(second));
        assert_eq!(likely(2.5, 1100), 2.5, "below it");
        assert_eq!(likely(9.0, 100), 9.0, "just broken");
        assert_eq!(likely(9.0, 160), 9.0);
        assert_eq!(likely(9.0, 220), 6.0, "in half of the time that it stood");
        assert_eq!(likely(9.0, 340), 4.5, "in a quarter");
        assert_eq!(
            Recurrence::new(&Tuning::default()).likely(4.0, 0.0, at(0)),
            4.0
        );
    }

    #[test]
    fn what_was_not_needed_for_long_before_is_let_go_sooner() {
        let let_go = |quiet: u64| {
            let mut levels = Recurrence::new(&Tuning::default());
            levels.see(1, 30.0, at(0));
            levels.see(5, 30.0, at(quiet));
            let end = quiet + 60;
            levels.see(1, 30.0, at(end));
            (1..).find(|&age| levels.keep(5, PRICE, at(end + age)) < 5)
        };
        let (soon, late) = (let_go(60), let_go(36_000));
        assert!(late < soon, "{late:?} and {soon:?} s after it");
    }

    #[test]
    fn what_never_came_back_is_kept_for_as_long_as_a_model_may_be_unused() {
        let price = Price {
            max_idle: 600.0,
            late: 1e4,
            ..PRICE
        };
        let kept = |levels: &Recurrence, second| levels.keep(5, price, at(second)).min(5);
        let mut levels = Recurrence::new(&Tuning::default());
        levels.see(5, 30.0, at(0));
        levels.see(1, 30.0, at(60));
        assert_eq!(kept(&levels, 660), 5);
        assert_eq!(kept(&levels, 661), 1);
        // The level came back after 1000 s.
        levels.see(5, 30.0, at(1060));
        levels.see(1, 30.0, at(1100));
        assert_eq!(kept(&levels, 3100), 5);
        assert_eq!(kept(&levels, 3101), 1);
    }

    #[test]
    fn one_need_is_no_reason_to_start_more() {
        let mut levels = Recurrence::new(&Tuning::default());
        levels.see(1, 30.0, at(0));
        levels.see(0, 30.0, at(1));
        for second in 1..600 {
            assert!(levels.keep(1, PRICE, at(second)) <= 1, "after {second} s");
        }
    }

    #[test]
    fn what_is_needed_is_kept() {
        let (mut levels, end) = cycles(3, 60, 3);
        levels.see(9, 30.0, at(end + 1));
        assert_eq!(levels.keep(0, PRICE, at(end + 2)), 9);
        assert!(levels.lasts(9, at(end + 100)) >= 99.0, "as long again");
    }
}

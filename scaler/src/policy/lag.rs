//! `lag`: replicas in proportion to what the model owes its callers.
//!
//! Each replica may carry `threshold` lag. The pressure that replicas are
//! counted for is
//!
//! - what is being served now, or the mean lag since the last look if that is
//!   higher (exact, so short bursts between two looks are not lost);
//! - plus what is held, weighted by the part of the drain time that serving it
//!   takes: a request of S seconds keeps a slot busy for S of the next D. What
//!   waits is work to be done once, not a lasting load; to read the queue as
//!   concurrency asks for far too much during a cold start;
//! - plus what it grows by until a replica asked for now is ready, at most
//!   doubling it.
//!
//! n = ⌈pressure ÷ threshold⌉. Where lag is over what all asked-for replicas
//! may carry and none is on its way, one more at least. Going down, the highest
//! n of the stability time is kept, and never fewer than carry the present lag;
//! unused for the inactive time, the minimum.

use std::{collections::VecDeque, time::Duration};

use super::{Observation, Settings, Wish};
use crate::{clock::Nanos, decision::Reason};

/// Backlog is drained over the start-up time, but not faster than this.
const SHORTEST_DRAIN: Duration = Duration::from_secs(5);
/// Start-up time assumed before one has been measured.
const UNMEASURED_START_UP: Duration = Duration::from_secs(10);

/// The wishes of the stability time, highest first: each later one is lower
/// than those before it, so the first is the maximum (the "ascending minima"
/// of sliding-window maxima, mirrored).
#[derive(Clone, Debug, Default)]
pub struct State {
    wishes: VecDeque<(Nanos, u32)>,
}

impl State {
    /// Records `wish` and returns the highest of the last `window`.
    fn highest(&mut self, wish: u32, window: Duration, now: Nanos) -> u32 {
        while self.wishes.back().is_some_and(|&(_, lower)| lower <= wish) {
            self.wishes.pop_back();
        }
        self.wishes.push_back((now, wish));
        while self
            .wishes
            .front()
            .is_some_and(|&(at, _)| now.since(at) >= window && at != now)
        {
            self.wishes.pop_front();
        }
        self.wishes.front().map_or(wish, |&(_, highest)| highest)
    }
}

/// See the [module](self).
pub fn wish(seen: &Observation, settings: &Settings, state: &mut State, now: Nanos) -> Wish {
    let threshold = f64::from(settings.threshold.max(1));
    let pressure = pressure(seen);
    let needed = whole_replicas(pressure / threshold);
    let carried = u64::from(settings.threshold) * u64::from(seen.desired);
    let short = seen.lag > carried && seen.starting == 0 && seen.ready >= seen.desired;
    let up = if short {
        needed.max(seen.desired.saturating_add(1))
    } else {
        needed
    };

    if seen.idle >= settings.inactive {
        state.wishes.clear();
        return Wish {
            replicas: settings.min,
            reason: Reason::Unused { idle: seen.idle },
        };
    }
    // In use within the inactive time: a model does not go to zero yet.
    // Never down to where the present lag would be over the threshold again.
    let kept = whole_replicas(seen.lag as f64 / threshold).min(seen.desired);
    let highest = state.highest(up.max(kept), settings.stability, now).max(1);
    if up > seen.desired {
        return Wish {
            replicas: up,
            reason: Reason::Demand {
                lag: seen.lag,
                held: seen.held,
                pressure,
                threshold: settings.threshold,
            },
        };
    }
    if highest < seen.desired {
        return Wish {
            replicas: highest,
            reason: Reason::LessDemand {
                pressure,
                needed: highest,
                threshold: settings.threshold,
                window: settings.stability,
            },
        };
    }
    Wish {
        replicas: seen.desired.max(1),
        reason: Reason::Enough {
            lag: seen.lag,
            replicas: seen.desired,
            threshold: settings.threshold,
        },
    }
}

/// The lasting load that replicas are needed for, in requests.
fn pressure(seen: &Observation) -> f64 {
    let start_up = seen.start_up.unwrap_or(UNMEASURED_START_UP);
    let drain = start_up.max(SHORTEST_DRAIN).as_secs_f64();
    let held = seen.held.min(seen.lag) as f64;
    let served = seen.lag as f64 - held;
    // Little's law on what is being served: S = L / μ. Unknown before anything
    // was served: then each held request may keep its slot for all of the drain.
    let service = if seen.completion_rate > 0.0 {
        served.max(1.0) / seen.completion_rate
    } else {
        drain
    };
    let backlog = held * (service / drain).min(1.0);
    // The mean includes what was held; the backlog is counted by its work.
    let now = (served + backlog).max(seen.mean_lag.min(served.max(seen.mean_lag - held)));
    let ahead = (seen.growth.max(0.0) * start_up.as_secs_f64()).min(now);
    now + if ahead.is_finite() { ahead } else { 0.0 }
}

fn whole_replicas(n: f64) -> u32 {
    // `as` saturates, and turns NaN into 0.
    (n - 1e-9).ceil() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use proptest::prelude::*;

    fn settings() -> Settings {
        Settings {
            policy: Policy::Lag,
            threshold: 30,
            inactive: Duration::from_secs(600),
            stability: Duration::from_secs(60),
            scaled: true,
            min: 1,
            max: 100,
        }
    }

    fn at(s: u64) -> Nanos {
        Nanos::from_duration(Duration::from_secs(s))
    }

    #[test]
    fn follows_demand_in_proportion() {
        struct Case(&'static str, Observation, u32);
        let seen = |lag, desired| Observation {
            lag,
            desired,
            ready: desired,
            mean_lag: lag as f64,
            ..Default::default()
        };
        let cases = [
            Case("lag within the threshold: enough", seen(30, 1), 1),
            Case("lag over the threshold: one more", seen(31, 1), 2),
            Case("in one step, however far: ⌈300/30⌉", seen(300, 1), 10),
            Case("from zero: the first request is demand", seen(1, 0), 1),
            Case(
                "a burst since the last look counts by its mean",
                Observation {
                    mean_lag: 95.0,
                    ..seen(0, 1)
                },
                4,
            ),
            Case(
                "growth until a new replica is ready counts: 60 + 2/s × 15 s = 90",
                Observation {
                    growth: 2.0,
                    start_up: Some(Duration::from_secs(15)),
                    ..seen(60, 1)
                },
                3,
            ),
            Case(
                "growth at most doubles: 60 + 60",
                Observation {
                    growth: 1000.0,
                    start_up: Some(Duration::from_secs(15)),
                    ..seen(60, 1)
                },
                4,
            ),
            Case(
                // 8 served at 80/s: S = 0.1 s. 500 held are 50 s of work, 10 slots over 5 s: 18 in all.
                "a queue counts by its work, not as concurrency; lag over threshold adds one",
                Observation {
                    held: 500,
                    completion_rate: 80.0,
                    start_up: Some(Duration::from_secs(2)),
                    ..seen(508, 1)
                },
                2,
            ),
            Case(
                "what is on its way is not asked for again",
                Observation {
                    held: 82,
                    completion_rate: 80.0,
                    ready: 1,
                    starting: 2,
                    ..seen(90, 3)
                },
                3,
            ),
            Case(
                "nothing served yet: every held request is taken to need a slot",
                Observation {
                    held: 95,
                    ready: 0,
                    starting: 1,
                    ..seen(95, 1)
                },
                4,
            ),
        ];
        for Case(rule, seen, expected) in cases {
            let wish = wish(&seen, &settings(), &mut State::default(), at(100));
            assert_eq!(wish.replicas, expected, "{rule}: {}", wish.reason);
        }
    }

    #[test]
    fn comes_down_to_the_highest_need_of_the_stability_time() {
        let (settings, mut state) = (settings(), State::default());
        let mut go = |second, lag: u64, desired| {
            let seen = Observation {
                lag,
                mean_lag: lag as f64,
                desired,
                ready: desired,
                ..Default::default()
            };
            wish(&seen, &settings, &mut state, at(second)).replicas
        };
        assert_eq!(go(0, 280, 10), 10);
        assert_eq!(go(20, 60, 10), 10, "lower for 20 s only");
        assert_eq!(go(40, 20, 10), 10);
        assert_eq!(go(60, 20, 10), 2, "the highest of the last 60 s is ⌈60/30⌉");
        assert_eq!(go(99, 20, 2), 1);
    }

    #[test]
    fn unused_goes_to_the_minimum_and_not_before() {
        let settings = Settings {
            min: 0,
            ..settings()
        };
        let mut state = State::default();
        let mut go = |second, idle| {
            let seen = Observation {
                idle: Duration::from_secs(idle),
                desired: 2,
                ready: 2,
                ..Default::default()
            };
            wish(&seen, &settings, &mut state, at(second)).replicas
        };
        assert_eq!(go(1000, 599), 1, "in use within the inactive time");
        assert_eq!(go(1001, 600), 0);
    }

    proptest! {
        #[test]
        fn is_finite_and_never_asks_for_less_when_demand_is_higher(
            lag in 0u64..100_000, more in 0u64..1000, held in 0u64..100_000, rate in 0.0f64..1e6,
            growth in -1e6f64..1e6, desired in 0u32..1000, mean in 0.0f64..1e5,
        ) {
            let held = held.min(lag);
            let seen = Observation { lag, held, mean_lag: mean, growth, completion_rate: rate,
                desired, ready: desired, ..Default::default() };
            let higher = Observation { lag: lag + more, ..seen.clone() };
            let low = wish(&seen, &settings(), &mut State::default(), at(1)).replicas;
            let high = wish(&higher, &settings(), &mut State::default(), at(1)).replicas;
            prop_assert!(pressure(&seen).is_finite());
            prop_assert!(high >= low, "{high} < {low}");
        }
    }
}

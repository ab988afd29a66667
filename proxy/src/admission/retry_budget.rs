//! Limits the retries of a model to a share of its requests, so that retries do not overload a
//! service that is overloaded already, plus a few per second, so that they work with few requests
//! (like Finagle's and Linkerd's `RetryBudget`).
//!
//! Each worker has its own budget for each model, without synchronisation: a share of all requests
//! is the same share of each worker's requests.

use std::{cell::Cell, time::Duration};

use tailback_config as config;
use tailback_scaler::clock::Nanos;

/// Most retries that can be saved up from the share: about as many requests as a replica loses
/// when it dies.
const SAVED: u32 = 100;
/// How long the retries per second can be saved up.
const WINDOW: Duration = Duration::from_secs(10);

/// The budget of one worker.
#[derive(Debug)]
pub struct RetryBudget {
    percent: u32,
    /// Retries saved up from the share, in hundredths.
    saved: Cell<u32>,
    /// The time in which one of the retries per second accrues; `None` if there are none.
    interval: Option<Duration>,
    /// Until when these retries are used up. It may be ahead of now by what is saved up.
    paid: Cell<Nanos>,
}

impl RetryBudget {
    /// The part of `budget` that each of `workers` gets.
    #[must_use]
    pub fn new(budget: config::RetryBudget, workers: u32) -> Self {
        let interval = Duration::from_secs(1) * workers.max(1);
        Self {
            percent: budget.percent,
            saved: Cell::new(0),
            interval: (budget.min_per_second > 0).then(|| interval / budget.min_per_second),
            paid: Cell::new(Nanos(0)),
        }
    }

    /// Counts a request.
    pub fn deposit(&self) {
        let saved = self.saved.get() + self.percent;
        self.saved.set(saved.min(100 * SAVED));
    }

    /// Takes a retry out of the budget. Returns whether there was one.
    pub fn withdraw(&self, now: Nanos) -> bool {
        if let Some(left) = self.saved.get().checked_sub(100) {
            self.saved.set(left);
            return true;
        }
        let Some(interval) = self.interval else {
            return false;
        };
        // At least one retry per worker, however many workers there are.
        let window = WINDOW.max(interval);
        let next = self.paid.get().max(now) + interval;
        let is_left = next <= now + window;
        if is_left {
            self.paid.set(next);
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(percent: u32, min_per_second: u32, workers: u32) -> RetryBudget {
        let budget = config::RetryBudget {
            percent,
            min_per_second,
        };
        RetryBudget::new(budget, workers)
    }

    fn at(seconds: u64) -> Nanos {
        Nanos::from_duration(Duration::from_secs(seconds))
    }

    /// How many retries can be taken at once.
    fn left(budget: &RetryBudget, now: Nanos) -> usize {
        std::iter::from_fn(|| budget.withdraw(now).then_some(())).count()
    }

    #[test]
    fn a_share_of_requests_may_be_retried() {
        let budget = budget(20, 0, 1);
        assert_eq!(left(&budget, at(1000)), 0);
        for _ in 0..52 {
            budget.deposit();
        }
        assert_eq!(left(&budget, at(1000)), 10);
        // The remainder of two requests is not lost.
        for _ in 0..3 {
            budget.deposit();
        }
        assert_eq!(left(&budget, at(1000)), 1);
        for _ in 0..100_000 {
            budget.deposit();
        }
        assert_eq!(left(&budget, at(1000)), 100);
    }

    #[test]
    fn unused_retries_per_second_are_saved_up_for_ten_seconds() {
        let budget = budget(0, 2, 1);
        assert_eq!(left(&budget, at(0)), 20);
        assert_eq!(left(&budget, at(1000)), 20);
        assert_eq!(left(&budget, at(1003)), 6);
        assert_eq!(left(&budget, at(9000)), 20);
    }

    #[test]
    fn workers_share_the_retries_per_second_and_each_has_at_least_one() {
        assert_eq!(left(&budget(0, 1, 4), at(1000)), 2);
        assert_eq!(left(&budget(0, 1, 64), at(1000)), 1);
        assert_eq!(left(&budget(0, 0, 4), at(1000)), 0);
    }

    #[test]
    fn retries_do_not_exceed_the_budget_in_the_long_run() {
        let budget = budget(10, 1, 1);
        let mut retries = 0;
        for second in 1000..1600 {
            for _ in 0..100 {
                budget.deposit();
                retries += u32::from(budget.withdraw(at(second)));
            }
        }
        // 10 % of 60,000, 1 per second for 600 s, and what was saved up.
        assert!((6_500..=6_710).contains(&retries), "{retries}");
    }
}

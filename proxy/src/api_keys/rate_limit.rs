//! A limit of requests per minute by the generic cell rate algorithm (ITU-T I.371, as a virtual
//! schedule): one word holds how far a caller is ahead of the limit's even pace.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tailback_scaler::clock::Nanos;

/// The time span of limits, in nanoseconds.
const MINUTE: u64 = 60_000_000_000;

/// When the next request would be due at an even pace, in nanoseconds on the process's clock: the
/// "theoretical arrival time".
#[derive(Debug, Default)]
pub(super) struct RateLimit(AtomicU64);

impl RateLimit {
    /// Takes one of `per_minute` requests a minute. After a pause, as many may come at once; after
    /// these, at an even pace.
    ///
    /// # Errors
    /// The time until one may be taken.
    pub(super) fn take(&self, per_minute: NonZeroU32, now: Nanos) -> Result<(), Duration> {
        let mut wait = 0;
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| {
                next(due, now.0, per_minute)
                    .map_err(|nanos| wait = nanos)
                    .ok()
            });
        taken.map(drop).map_err(|_| Duration::from_nanos(wait))
    }
}

/// When the request after the one at `now` is due, if that one was due at `due`. `Err`: it is too
/// early, by this many nanoseconds.
fn next(due: u64, now: u64, per_minute: NonZeroU32) -> Result<u64, u64> {
    let interval = MINUTE / u64::from(per_minute.get());
    // After a minute's requests at once, the last one is ahead by all but one interval.
    let most_ahead = MINUTE - interval;
    let due = due.max(now);
    match (due - now).checked_sub(most_ahead) {
        None | Some(0) => Ok(due + interval),
        Some(early) => Err(early),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_minutes_requests_may_come_at_once_and_then_one_an_interval() {
        let (limit, three) = (RateLimit::default(), NonZeroU32::new(3).unwrap());
        let start = Nanos(MINUTE);
        for _ in 0..3 {
            assert_eq!(limit.take(three, start), Ok(()));
        }
        assert_eq!(limit.take(three, start), Err(Duration::from_secs(20)));
        let later = start + Duration::from_secs(15);
        assert_eq!(limit.take(three, later), Err(Duration::from_secs(5)));
        let due = start + Duration::from_secs(20);
        assert_eq!(limit.take(three, due), Ok(()));
        assert_eq!(limit.take(three, due), Err(Duration::from_secs(20)));
    }

    #[test]
    fn threads_take_no_more_than_the_limit_together() {
        const MOST: u32 = if cfg!(miri) { 30 } else { 1_000 };
        let (limit, some) = (RateLimit::default(), NonZeroU32::new(MOST).unwrap());
        let taken: usize = thread::scope(|scope| {
            let take = || {
                let each = (0..MOST).filter(|_| limit.take(some, Nanos(MINUTE)).is_ok());
                each.count()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(taken, MOST as usize);
    }

    proptest! {
        /// Whenever requests come, within any span of time at most its share of the limit, plus
        /// one minute's requests, is taken; and a request that has waited as told is taken.
        #[test]
        fn no_span_of_time_has_more_than_its_share(
            per_minute in 1_u32..200,
            pauses in proptest::collection::vec(0_u64..20_000_000_000, 1..200),
        ) {
            let limit = NonZeroU32::new(per_minute).unwrap();
            let interval = MINUTE / u64::from(per_minute);
            let (mut due, mut now) = (0, MINUTE);
            let mut taken = Vec::new();
            for pause in pauses {
                now += pause;
                match next(due, now, limit) {
                    Ok(after) => {
                        prop_assert!(after > due);
                        due = after;
                        taken.push(now);
                    }
                    Err(early) => prop_assert!(next(due, now + early, limit).is_ok()),
                }
            }
            for (i, from) in taken.iter().enumerate() {
                for (count, to) in (1..).zip(&taken[i..]) {
                    let share = (to - from) / interval + u64::from(per_minute);
                    prop_assert!(count <= share + 1, "{count} in {} ns", to - from);
                }
            }
        }
    }
}

//! The clairvoyant bound: the smallest cost, in replica-seconds, at which no request ever waits.
//!
//! If every request were served at once, n(t) = ⌈in-flight(t) ÷ concurrency⌉ replicas would be
//! busy at t. Level k is needed while n(t) ≥ k. A scaler that knows the trace keeps level k
//! through each gap that is shorter than a start-up. In a longer gap, it stops the level and pays
//! for another start. The sum over all levels is the smallest cost without a wait.

use std::time::Duration;

use super::{
    timeline::{Extent, Recorder},
    trace::Trace,
};
use crate::clock::Nanos;

/// The integral of n(t): the replica-seconds of replicas that exist exactly while they are
/// needed, without a start-up time. Costs are compared with it. `concurrency` `None`: no limit;
/// the first `min` replicas always exist.
#[must_use]
pub fn needed(trace: &Trace, concurrency: Option<u32>, min: u32) -> f64 {
    let concurrency = u64::from(concurrency.unwrap_or(u32::MAX).max(1));
    let (mut count, mut since, mut sum) = (u64::from(min), Nanos(0), 0.0);
    let end = busy(trace, |in_flight, now| {
        sum += count as f64 * now.since(since).as_secs_f64();
        (count, since) = (in_flight.div_ceil(concurrency).max(u64::from(min)), now);
    });
    sum + count as f64 * end.since(since).as_secs_f64()
}

/// The largest number of replicas that are needed at once so that no request waits.
#[must_use]
pub fn peak(trace: &Trace, concurrency: Option<u32>) -> u32 {
    let mut peak = 0;
    busy(trace, |in_flight, _| peak = peak.max(in_flight));
    let concurrency = u64::from(concurrency.unwrap_or(u32::MAX).max(1));
    u32::try_from(peak.div_ceil(concurrency)).unwrap_or(u32::MAX)
}

/// Requests in flight if every one were served at once, in slices of `width`.
#[must_use]
pub fn demand(trace: &Trace, width: Duration) -> Vec<Extent> {
    let mut recorder = Recorder::new(width, [0]);
    let end = busy(trace, |in_flight, now| recorder.set([in_flight], now));
    recorder.finish(end).into_iter().flatten().collect()
}

/// The bound in replica-seconds. The first `min` levels are always on, and ready from the
/// beginning.
#[must_use]
pub fn bound(trace: &Trace, concurrency: Option<u32>, start_up: Duration, min: u32) -> f64 {
    let concurrency = u64::from(concurrency.unwrap_or(u32::MAX).max(1));
    let mut levels = Levels {
        start_up,
        on: 0,
        ended: Vec::new(),
        since: Vec::new(),
    };
    let end = busy(trace, |in_flight, now| {
        levels.set(in_flight.div_ceil(concurrency) as usize, now);
    });
    levels.set(0, end);
    let always = f64::from(min) * end.since(Nanos(0)).as_secs_f64();
    let above: f64 = levels.spent().skip(min as usize).sum();
    always + above
}

/// Calls `change` with the in-flight of an unlimited pool whenever it changes. Returns when the
/// last request ends.
fn busy(trace: &Trace, mut change: impl FnMut(u64, Nanos)) -> Nanos {
    let mut ends: Vec<Nanos> = trace.requests().iter().map(|r| r.at + r.service).collect();
    ends.sort_unstable();
    let (mut in_flight, mut done) = (0u64, 0);
    for request in trace.requests() {
        // A request that takes no time must not end before it is counted in.
        while ends[done] <= request.at && in_flight > 0 {
            in_flight -= 1;
            change(in_flight, ends[done]);
            done += 1;
        }
        in_flight += 1;
        change(in_flight, request.at);
    }
    for &end in &ends[done..] {
        in_flight -= 1;
        change(in_flight, end);
    }
    ends.last().copied().unwrap_or(Nanos(0))
}

struct Levels {
    start_up: Duration,
    /// How many levels are needed now.
    on: usize,
    /// For each level: when it was last needed, and its cost up to then, in seconds.
    ended: Vec<(Option<Nanos>, f64)>,
    /// Since when each level that is needed now has been needed.
    since: Vec<Nanos>,
}

impl Levels {
    fn set(&mut self, needed: usize, now: Nanos) {
        while self.on < needed {
            if self.ended.len() == self.on {
                self.ended.push((None, 0.0));
            }
            let (ended, cost) = &mut self.ended[self.on];
            // The cheaper of a new start and of staying on through the gap.
            let gap = ended.map_or(self.start_up, |at| now.since(at).min(self.start_up));
            *cost += gap.as_secs_f64();
            self.since.push(now);
            self.on += 1;
        }
        while self.on > needed {
            self.on -= 1;
            let since = self.since.pop().unwrap_or(now);
            let (ended, cost) = &mut self.ended[self.on];
            *ended = Some(now);
            *cost += now.since(since).as_secs_f64();
        }
    }

    fn spent(&self) -> impl Iterator<Item = f64> {
        self.ended.iter().map(|(_, cost)| *cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Request;

    #[test]
    fn bounds_are_those_worked_out_by_hand() {
        let trace: Trace = [(0, 10), (15, 5), (15, 5), (100, 1), (100, 0)]
            .map(|(at, service)| Request {
                at: Nanos::from_duration(Duration::from_secs(at)),
                service: Duration::from_secs(service),
            })
            .into_iter()
            .collect();
        let start_up = Duration::from_secs(30);
        // Needed: the first level for 10 + 5 + 1 s, the second for 5 s.
        assert_eq!(needed(&trace, Some(1), 0), 21.0);
        assert_eq!(needed(&trace, Some(2), 0), 16.0);
        // The first level starts (30 s), stays on through a gap of 5 s, and starts again after
        // one of 80 s (30 s). The second starts once.
        assert_eq!(
            bound(&trace, Some(1), start_up, 0),
            (30 + 10 + 5 + 5 + 30 + 1 + 30 + 5) as f64
        );
        // A replica that is always there for 101 s, and the second level.
        assert_eq!(needed(&trace, Some(1), 1), 101.0 + 5.0);
        assert_eq!(bound(&trace, Some(1), start_up, 1), (101 + 30 + 5) as f64);
        assert_eq!((peak(&trace, Some(1)), peak(&trace, None)), (2, 1));
    }
}

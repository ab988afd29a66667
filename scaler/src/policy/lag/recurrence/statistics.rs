//! Statistics of need: its recent deviation, and its steepest rise.

use crate::clock::Nanos;

/// Shortest time over which a rise is measured, in seconds.
const SHORTEST_SPAN: f64 = 1.0;

/// Mean and variance of the needed count over time, with exponential decay.
#[derive(Clone, Debug)]
pub(super) struct NeedDeviation {
    /// Time constant of the decay, in seconds; see
    /// [`Tuning::need_memory`](crate::tuning::Tuning::need_memory).
    memory: f64,
    first: Option<Nanos>,
    last: Nanos,
    seconds: f64,
    sum: f64,
    squares: f64,
}

impl NeedDeviation {
    /// Statistics that decay with a time constant of `memory` seconds.
    pub(super) fn new(memory: f64) -> Self {
        Self {
            memory,
            first: None,
            last: Nanos::default(),
            seconds: 0.0,
            sum: 0.0,
            squares: 0.0,
        }
    }

    /// Notes that `n` were needed since the last call.
    pub(super) fn pass(&mut self, n: f64, now: Nanos) {
        if self.first.is_none() {
            (self.first, self.last) = (Some(now), now);
        }
        let span = now.since(self.last).as_secs_f64();
        let fade = (-span / self.memory).exp();
        self.seconds = self.seconds * fade + span;
        self.sum = self.sum * fade + span * n;
        self.squares = self.squares * fade + span * n * n;
        self.last = now;
    }

    pub(super) fn deviation(&self) -> f64 {
        if self.seconds <= 0.0 {
            return 0.0;
        }
        let mean = self.sum / self.seconds;
        (self.squares / self.seconds - mean * mean).max(0.0).sqrt()
    }

    /// The time of the first call.
    pub(super) fn first(&self) -> Nanos {
        self.first.unwrap_or(self.last)
    }

    /// Seconds since the first call, at least 1.
    pub(super) fn age(&self, now: Nanos) -> f64 {
        now.since(self.first()).as_secs_f64().max(1.0)
    }
}

/// The steepest rise of need within about one start-up time. Anything that takes a steeper rise
/// will be seen in time: replicas can be started while need is rising.
///
/// The lowest need of the current span and of the last one is kept. A rise is measured from the
/// lower of both, that is, over one to two start-up times. At the beginning, the need is 0.
#[derive(Clone, Debug, Default)]
pub(super) struct SteepestRise {
    highest: u32,
    /// The lowest need of the last span, and of the current one.
    lows: [u32; 2],
    /// When the current span began.
    began: Nanos,
}

impl SteepestRise {
    /// Notes that `n` are needed at `now`. A start takes `start_up` seconds.
    pub(super) fn pass(&mut self, n: u32, start_up: f64, now: Nanos) {
        if now.since(self.began).as_secs_f64() >= start_up.max(SHORTEST_SPAN) {
            self.began = now;
            self.lows = [self.lows[1], n];
        }
        self.lows[1] = self.lows[1].min(n);
        let low = self.lows[0].min(self.lows[1]);
        self.highest = self.highest.max(n - low);
    }

    pub(super) fn highest(&self) -> u32 {
        self.highest
    }
}

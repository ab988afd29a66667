//! How need has moved: its spread lately, and how fast it ever rose.

use crate::clock::Nanos;

/// Need is that of the last second, at least: it takes so long to rise.
const SHORTEST_SPAN: f64 = 1.0;

/// Mean and variance over time of how many are needed, fading.
#[derive(Clone, Debug)]
pub(super) struct NeedDeviation {
    /// In seconds; see [`Tuning::need_memory`](crate::tuning::Tuning::need_memory).
    memory: f64,
    first: Option<Nanos>,
    last: Nanos,
    seconds: f64,
    sum: f64,
    squares: f64,
}

impl NeedDeviation {
    /// Fades over `memory` seconds.
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

    /// It was `n` since the last call.
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

    /// When the first call was.
    pub(super) fn first(&self) -> Nanos {
        self.first.unwrap_or(self.last)
    }

    /// Seconds since the first call, at least 1.
    pub(super) fn age(&self, now: Nanos) -> f64 {
        now.since(self.first()).as_secs_f64().max(1.0)
    }
}

/// The highest rise of need within about a start-up time. What would take a higher
/// one is seen coming: replicas can be started when need is on its way there.
///
/// Of this time and the last the lowest need is kept, and a rise is one from the
/// lower of both: within one to two start-up times. To begin with nothing was needed.
#[derive(Clone, Debug, Default)]
pub(super) struct SteepestRise {
    highest: u32,
    /// The lowest need of the last span, and of the present one.
    lows: [u32; 2],
    /// When the present one began.
    began: Nanos,
}

impl SteepestRise {
    /// `n` are needed at `now`, where a start takes `start_up` seconds.
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

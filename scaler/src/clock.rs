//! One monotonic clock for the whole process, as nanoseconds in a `u64`.
//!
//! All counts and decisions use [`Nanos`], so that policies run on any clock: the live one here,
//! or a virtual one in tests and in the simulator.

use std::{
    fmt,
    ops::{Add, Sub},
    sync::OnceLock,
    time::Duration,
};

use quanta::{Clock, Instant};

/// A point in time: nanoseconds since the process's first reading of the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

/// The clock, and its first reading.
static CLOCK: OnceLock<(Clock, Instant)> = OnceLock::new();

#[cfg(not(miri))]
fn clock() -> Clock {
    Clock::new()
}

/// Miri executes no assembler, by which the counter is read: for it, time stands still.
#[cfg(miri)]
fn clock() -> Clock {
    Clock::mock().0
}

impl Nanos {
    /// The current time. It comes from the processor's time stamp counter where that is
    /// invariant, else from the operating system's monotonic clock. Each request reads the clock
    /// twice, and the counter costs about a third of the system's clock. The counter is
    /// calibrated once at the start and may drift by some parts in 100,000.
    #[inline]
    #[must_use]
    pub fn now() -> Self {
        let (clock, start) = CLOCK.get_or_init(|| {
            let clock = clock();
            let start = clock.now();
            (clock, start)
        });
        Self::from_duration(clock.now().duration_since(*start))
    }

    /// Makes the whole process read `clock` from now on, as simulations do. Returns `false`,
    /// without effect, if the clock has been read before.
    pub fn read_from(clock: Clock) -> bool {
        let start = clock.now();
        CLOCK.set((clock, start)).is_ok()
    }

    /// The time `since_start` after the clock's origin.
    #[must_use]
    pub fn from_duration(since_start: Duration) -> Self {
        // 2^64 ns are 584 years.
        Self(since_start.as_nanos() as u64)
    }

    /// The time that has passed since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Nanos {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub<Duration> for Nanos {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.0 as f64 / 1e9)
    }
}

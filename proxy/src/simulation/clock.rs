//! The clock of the simulated process: that of the paused runtime, which jumps to the next timer
//! as soon as there is nothing else to do.

use std::{
    cell::Cell,
    sync::{Arc, OnceLock},
    time::Duration,
};

use quanta::{Clock, Mock};
use tailback_scaler::clock::Nanos;
use tokio::time::Instant;

/// The time at which each simulation begins, so that its times do not depend on earlier
/// simulations.
const BEGIN: Duration = Duration::from_secs(1000);

static CLOCK: OnceLock<Arc<Mock>> = OnceLock::new();

thread_local! {
    static STARTED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Makes the whole process read the simulated clock. Call it before the clock is read; further
/// calls have no effect.
///
/// # Panics
/// If another clock has been read.
pub fn install() {
    CLOCK.get_or_init(|| {
        let (clock, mock) = Clock::mock();
        assert!(Nanos::read_from(clock), "the process has read its clock");
        mock
    });
}

fn set(time: Duration) {
    let Some(clock) = CLOCK.get() else {
        return;
    };
    let (before, now) = (clock.value(), time.as_nanos() as u64);
    match now > before {
        true => clock.increment(now - before),
        false => clock.decrement(before - now),
    }
}

/// Begins a simulation, within its runtime.
pub fn begin() {
    STARTED.set(Some(Instant::now()));
    set(BEGIN);
}

/// Updates the clock after the runtime's clock may have advanced.
pub fn follow() {
    if let Some(started) = STARTED.get() {
        set(BEGIN + started.elapsed());
    }
}

/// Simulates a sleeping machine: time passes, and nothing else happens.
pub async fn sleep_machine(time: Duration) {
    if let Some(started) = STARTED.get() {
        set(BEGIN + started.elapsed() + time);
    }
    tokio::time::advance(time).await;
    follow();
}

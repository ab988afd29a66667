//! The clock of the simulated process: that of the paused runtime, which leaps to the next timer as soon
//! as nothing else is to do.

use std::{
    cell::Cell,
    sync::{Arc, OnceLock},
    time::Duration,
};

use quanta::{Clock, Mock};
use tailback_scaler::clock::Nanos;
use tokio::time::Instant;

/// What each simulation begins at, so that its times do not depend on those before.
const BEGIN: Duration = Duration::from_secs(1000);

static CLOCK: OnceLock<Arc<Mock>> = OnceLock::new();

thread_local! {
    static STARTED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Has the whole process read the simulated clock. To be called before it reads any; further calls do
/// nothing.
///
/// # Panics
/// If it has read another one.
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

/// A simulation begins, within its runtime.
pub fn begin() {
    STARTED.set(Some(Instant::now()));
    set(BEGIN);
}

/// The runtime's clock may have gone on.
pub fn follow() {
    if let Some(started) = STARTED.get() {
        set(BEGIN + started.elapsed());
    }
}

/// The machine sleeps: time goes on, and nothing else.
pub async fn sleep_machine(time: Duration) {
    if let Some(started) = STARTED.get() {
        set(BEGIN + started.elapsed() + time);
    }
    tokio::time::advance(time).await;
    follow();
}

//! A timer for a deadline that is mostly extended. Only when the timer fires is the present
//! deadline looked up, so that extending it costs no timer operation.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tailback_scaler::clock::Nanos;
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer for one deadline at a time.
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// The time that the timer is set to; `None` after it fired.
    at: Option<Nanos>,
    timer: Pin<Box<Sleep>>,
}

impl Watchdog {
    /// A timer for `deadline`.
    pub(crate) fn new(deadline: Nanos) -> Self {
        Self {
            at: Some(deadline),
            timer: Box::pin(sleep_until(instant(deadline))),
        }
    }

    /// Ready once for each deadline that has passed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline: impl Fn() -> Nanos) -> Poll<()> {
        let mut present = deadline();
        loop {
            if self.at.is_none_or(|at| present < at) {
                self.at = Some(present);
                self.timer.as_mut().reset(instant(present));
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.at = None;
            present = deadline();
            if present <= Nanos::now() {
                return Poll::Ready(());
            }
        }
    }
}

fn instant(at: Nanos) -> Instant {
    // Beyond any real deadline. Without a bound, the addition would overflow.
    const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
    Instant::now() + at.since(Nanos::now()).min(FAR)
}

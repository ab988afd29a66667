//! The beginning of the drain, as a connection hears of it.

use std::{future::Future, pin::Pin, task::Context, time::Duration};

use pingora::server::ShutdownWatch;

use super::lifecycle::Lifecycle;
use crate::exchange::Connection;

/// Ready when the drain began so long `ago`, which depends on why it did.
pub(super) async fn began(mut shutdown: ShutdownWatch, ago: impl Fn() -> Duration) {
    let _ = shutdown.wait_for(|&draining| draining).await;
    tokio::time::sleep(ago()).await;
}

/// One connection's ear for the beginning of the drain.
pub(super) struct Drain {
    signal: Pin<Box<dyn Future<Output = ()>>>,
    awaited: bool,
}

impl Drain {
    pub(super) fn new(shutdown: ShutdownWatch) -> Self {
        Self {
            signal: Box::pin(began(shutdown, || Duration::ZERO)),
            awaited: false,
        }
    }

    /// Whether it has begun, said once; `connection` takes no further request
    /// then. The task of `cx` is woken when it begins.
    pub(super) fn begins(
        &mut self,
        cx: &mut Context<'_>,
        lifecycle: &Lifecycle,
        connection: &Connection,
    ) -> bool {
        // One poll registers this task's waker, which stays the same; what it
        // is woken for is then seen in the flag, without the channel's lock.
        if !self.awaited {
            self.awaited = true;
            let _ = self.signal.as_mut().poll(cx);
        }
        let begins = lifecycle.is_draining() && !connection.is_closing();
        if begins {
            connection.set_linger(lifecycle.linger());
            connection.close_after_this();
        }
        begins
    }
}

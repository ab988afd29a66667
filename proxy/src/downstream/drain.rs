//! Notices the start of draining, on one connection.

use std::{future::Future, pin::Pin, task::Context, time::Duration};

use pingora::server::ShutdownWatch;

use super::lifecycle::Lifecycle;
use crate::exchange::Connection;

/// Ready once `ago` has passed since draining began. `ago` is evaluated when draining begins,
/// because it depends on the cause.
pub(super) async fn began(mut shutdown: ShutdownWatch, ago: impl Fn() -> Duration) {
    let _ = shutdown.wait_for(|&draining| draining).await;
    tokio::time::sleep(ago()).await;
}

/// A connection's subscription to the start of draining.
pub(super) struct Drain {
    signal: Pin<Box<dyn Future<Output = ()>>>,
    awaited: bool,
}

impl Drain {
    pub(super) fn new(shutdown: &ShutdownWatch) -> Self {
        let mut shutdown = shutdown.clone();
        Self {
            signal: Box::pin(async move {
                let _ = shutdown.wait_for(|&draining| draining).await;
            }),
            awaited: false,
        }
    }

    /// Returns `true` once, when draining has begun; from then on `connection` takes no further
    /// request. The task of `cx` is woken when draining begins.
    pub(super) fn begins(
        &mut self,
        cx: &mut Context<'_>,
        lifecycle: &Lifecycle,
        connection: &Connection,
    ) -> bool {
        // One poll registers this task's waker, which does not change. After that wake-up the flag
        // is enough, without the channel's lock.
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

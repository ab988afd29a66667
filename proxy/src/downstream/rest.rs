//! Connections by HTTP/1.1 that have been idle for a while. Of such a connection only the socket is
//! kept, and what ends it in time.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use pingora::server::ShutdownWatch;
use tailback_scaler::clock::Nanos;
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    time::timeout,
};

use super::{Downstream, drain::Drain, shedding::Shedding};
use crate::{
    exchange::{Connection, LINGER, Watchdog},
    net::{Socket, Transport},
};

/// Ready once the caller of `io` sends something. `io` is `None` then if the connection has ended: by its
/// caller, because it was idle `until` then, or because memory is short.
// Not an `async fn`, which would hold its arguments twice.
#[expect(clippy::manual_async_fn)]
pub(super) fn wait<H>(
    io: &mut Option<Transport<Socket>>,
    mut until: Nanos,
    downstream: &Downstream<H>,
    connection: &Connection,
    shutdown: &ShutdownWatch,
) -> impl Future<Output = ()> {
    async move {
        let mut watchdog = Watchdog::new(until);
        let mut drain = Drain::new(shutdown);
        connection.footprint.resting.set(true);
        let goes_on = poll_fn(|cx| {
            if drain.begins(cx, &downstream.lifecycle, connection) {
                until = until.min(Nanos::now() + connection.linger());
            }
            if let Poll::Ready(came) = poll_first(io, cx) {
                return Poll::Ready(came);
            }
            if Shedding::of(connection, &downstream.settings.overload) != Shedding::Nothing {
                return Poll::Ready(false);
            }
            watchdog.poll(cx, || until).map(|()| false)
        })
        .await;
        connection.footprint.resting.set(false);
        if !goes_on && let Some(mut io) = io.take() {
            // On TLS, this sends the closing alert.
            let _ = Box::pin(async move { timeout(LINGER, io.shutdown()).await }).await;
        }
    }
}

/// Ready with whether bytes have arrived, which are to be read from `io` again. `false`: it has ended.
fn poll_first(io: &mut Option<Transport<Socket>>, cx: &mut Context<'_>) -> Poll<bool> {
    let Some(io) = io else {
        return Poll::Ready(false);
    };
    // On the stack: it need not outlast this call.
    let mut room = [0; 4096];
    let mut read = ReadBuf::new(&mut room);
    let result = ready!(Pin::new(&mut *io).poll_read(cx, &mut read));
    let came = result.is_ok() && !read.filled().is_empty();
    if came {
        io.put_back(Bytes::copy_from_slice(read.filled()));
    }
    Poll::Ready(came)
}

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

use super::{drain::Drain, lifecycle::Lifecycle, shedding::Shedding};
use crate::{
    exchange::{Connection, LINGER, Watchdog},
    net::{Socket, Transport},
    overload::Overload,
};

/// Ready once the caller of `io` sends something, or the connection has ended, of which `io` is `None`: its
/// caller has closed it, it was idle `until` then or too long while draining, or memory is short.
// Not an `async fn`, which would hold its arguments twice.
#[expect(clippy::manual_async_fn)]
pub(super) fn wait(
    io: &mut Option<Transport<Socket>>,
    mut until: Nanos,
    (lifecycle, overload): (&Lifecycle, &Overload),
    connection: &Connection,
    shutdown: &ShutdownWatch,
) -> impl Future<Output = ()> {
    async move {
        let mut watchdog = Watchdog::new(until);
        let mut drain = Drain::new(shutdown);
        connection.footprint.resting.set(true);
        let goes_on = poll_fn(|cx| {
            if drain.begins(cx, lifecycle, connection) {
                until = until.min(Nanos::now() + connection.linger());
            }
            if let Poll::Ready(came) = poll_first(io, cx) {
                return Poll::Ready(came);
            }
            if Shedding::of(connection, overload) != Shedding::Nothing {
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

#[cfg(test)]
mod tests {
    use super::{super::fixtures::connected, *};
    use crate::{net::HttpVersion, overload::Holder};
    use std::time::Duration;
    use tokio::{io::AsyncReadExt, net::TcpStream, sync::watch};

    struct Rested {
        io: Option<Transport<Socket>>,
        caller: TcpStream,
        connection: Connection,
        lifecycle: Lifecycle,
        overload: Overload,
        stop: watch::Sender<bool>,
    }

    impl Rested {
        async fn new() -> Self {
            let (connection, io, caller) = connected(HttpVersion::Http1).await;
            Self {
                io: Some(io),
                caller,
                connection,
                lifecycle: Lifecycle::default(),
                overload: Overload::default(),
                stop: watch::Sender::new(false),
            }
        }

        /// Waits for what the caller sends, for so long at most. Meanwhile `what` happens.
        async fn wait(&mut self, most: Duration, what: impl FnOnce(&Connection, &Lifecycle)) {
            let until = Nanos::now() + most;
            let shutdown = self.stop.subscribe();
            let shared = (&self.lifecycle, &self.overload);
            let wait = wait(&mut self.io, until, shared, &self.connection, &shutdown);
            let happens = async {
                poll_fn(|cx| {
                    self.connection.footprint.runs_in(cx.waker());
                    Poll::Ready(())
                })
                .await;
                what(&self.connection, &self.lifecycle);
            };
            tokio::join!(wait, happens);
            assert!(!self.connection.footprint.resting.get());
        }

        async fn is_closed_for_the_caller(&mut self) -> bool {
            assert!(self.io.is_none());
            self.caller.read(&mut [0]).await.unwrap() == 0
        }
    }

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn what_wakes_a_connection_is_read_from_it_again() {
        let mut rested = Rested::new().await;
        rested.caller.write_all(b"GET / ").await.unwrap();
        rested.wait(LONG, |_, _| {}).await;
        rested.caller.write_all(b"HTTP/1.1").await.unwrap();
        let mut read = [0; 14];
        let io = rested.io.as_mut().unwrap();
        io.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"GET / HTTP/1.1");
    }

    #[tokio::test]
    async fn a_connection_ends_when_its_caller_closes_it_or_it_is_idle_for_too_long() {
        let mut rested = Rested::new().await;
        rested.caller.shutdown().await.unwrap();
        rested.wait(LONG, |_, _| {}).await;
        assert!(rested.is_closed_for_the_caller().await);
        let mut rested = Rested::new().await;
        rested.wait(Duration::from_millis(1), |_, _| {}).await;
        assert!(rested.is_closed_for_the_caller().await);
    }

    #[tokio::test]
    async fn a_connection_closes_while_memory_is_short() {
        let mut rested = Rested::new().await;
        let shed = |connection: &Connection, _: &Lifecycle| {
            assert!(connection.footprint.resting.get());
            connection.shed();
        };
        rested.wait(LONG, shed).await;
        assert!(rested.is_closed_for_the_caller().await);
    }

    #[tokio::test]
    async fn a_connection_lingers_once_the_process_drains_and_takes_one_more_request() {
        for sends in [true, false] {
            let mut rested = Rested::new().await;
            let stop = rested.stop.clone();
            let drain = |_: &Connection, lifecycle: &Lifecycle| {
                lifecycle.drain();
                stop.send_replace(true);
            };
            if sends {
                let mut caller = rested.caller.into_std().unwrap();
                rested.caller = TcpStream::from_std(caller.try_clone().unwrap()).unwrap();
                let drain_and_send = |connection: &Connection, lifecycle: &Lifecycle| {
                    drain(connection, lifecycle);
                    std::io::Write::write_all(&mut caller, b"GET").unwrap();
                };
                rested.wait(LONG, drain_and_send).await;
                assert!(rested.io.is_some());
            } else {
                rested.wait(LONG, drain).await;
                assert!(rested.is_closed_for_the_caller().await);
            }
            assert!(rested.connection.is_closing());
        }
    }
}

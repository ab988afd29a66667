//! Upgraded connections (RFC 9110, 7.8), such as WebSocket: copies bytes both ways, unparsed, until
//! both sides have closed.

use std::{
    any::Any,
    cell::Cell,
    fmt,
    future::{Future, pending, poll_fn},
    io,
    pin::Pin,
    task::Poll,
    time::Duration,
};

use pingora::server::ShutdownWatch;
use tailback_scaler::clock::Nanos;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use super::{drain, lifecycle::Lifecycle};
use crate::{
    exchange::{Exchange, StreamState, Watchdog},
    net::{Socket, Transport},
    status::Outcome,
};

/// Bytes copied at once.
const PIECE: usize = 16 * 1024;

/// On 101, the caller's connection becomes a tunnel once the response is flushed.
pub struct Tunnel {
    /// Dropped in this order: the permit is returned before the request ends.
    replica: Pin<Box<dyn Future<Output = io::Result<ReplicaSide>>>>,
    exchange: Exchange,
}

/// A replica's connection after its upgrade.
struct ReplicaSide {
    io: Pin<Box<dyn Duplex>>,
    /// Held while the connection is in use.
    permit: Box<dyn Any>,
}

trait Duplex: AsyncRead + AsyncWrite {}
impl<T: AsyncRead + AsyncWrite> Duplex for T {}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("exchange", &self.exchange)
            .finish_non_exhaustive()
    }
}

/// Which side broke the connection.
enum Broken {
    Caller,
    Replica,
}

impl Tunnel {
    /// For a request that a replica has answered with 101. `replica` yields the permit, and the
    /// connection's byte stream after the upgrade.
    #[must_use]
    pub fn new<P: 'static, T: AsyncRead + AsyncWrite + 'static>(
        replica: impl Future<Output = io::Result<(P, T)>> + 'static,
        exchange: Exchange,
    ) -> Self {
        Self {
            replica: Box::pin(async move {
                let (permit, io) = replica.await?;
                Ok(ReplicaSide {
                    io: Box::pin(io),
                    permit: Box::new(permit),
                })
            }),
            exchange,
        }
    }

    /// Runs the tunnel to its end. While draining, it ends after at most
    /// `TAILBACK_TUNNEL_DRAIN_SECONDS`, or `TAILBACK_UPGRADE_DRAIN_SECONDS` after an upgrade.
    pub(super) async fn run(
        self,
        caller: Transport<Socket>,
        state: &StreamState,
        shutdown: ShutdownWatch,
        lifecycle: &Lifecycle,
    ) {
        let Self {
            replica,
            mut exchange,
        } = self;
        let (timeouts, limits) = (state.connection().timeouts(), state.deadline.limits());
        let idle = Idle::new(limits.stream_idle);
        // Given back after the outcome is known.
        let mut held = None;
        let tunnel = async {
            // What is left of the request is sent first: it may take as long as all else.
            let ReplicaSide { io, permit } = replica.await.map_err(|_| Broken::Replica)?;
            held = Some(permit);
            both_ways(caller, io, &idle).await
        };
        let outcome = tokio::select! {
            ended = tunnel => match ended {
                Ok(()) => Outcome::Success,
                Err(Broken::Caller) => Outcome::CallerGone,
                Err(Broken::Replica) => Outcome::UpstreamReset,
            },
            () = idle.passed() => Outcome::UpstreamSlow,
            // Cancelling the request wakes this task.
            () = poll_fn(|_| match state.is_cancelled() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }) => Outcome::Cancelled,
            () = after(limits.total) => Outcome::UpstreamSlow,
            () = drain::began(shutdown, || lifecycle.tunnel_drain(timeouts)) => Outcome::Success,
        };
        exchange.set_outcome(outcome);
        drop(held);
    }
}

async fn both_ways(
    caller: Transport<Socket>,
    replica: impl AsyncRead + AsyncWrite,
    idle: &Idle,
) -> Result<(), Broken> {
    let (from_caller, to_caller) = tokio::io::split(caller);
    let (from_replica, to_replica) = tokio::io::split(replica);
    let up = one_way(from_caller, to_replica, idle);
    let down = one_way(from_replica, to_caller, idle);
    let up = async {
        up.await
            .map_err(|end| end.of(Broken::Caller, Broken::Replica))
    };
    let down = async {
        down.await
            .map_err(|end| end.of(Broken::Replica, Broken::Caller))
    };
    tokio::try_join!(up, down).map(|_| ())
}

/// Which end of one direction failed.
enum End {
    Reading,
    Writing,
}

impl End {
    fn of(self, reading: Broken, writing: Broken) -> Broken {
        match self {
            Self::Reading => reading,
            Self::Writing => writing,
        }
    }
}

/// Copies until the end of the stream, then closes the other side.
async fn one_way<A: AsyncRead, B: AsyncWrite>(
    mut from: ReadHalf<A>,
    mut to: WriteHalf<B>,
    idle: &Idle,
) -> Result<(), End> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece).await.map_err(|_| End::Reading)?;
        if length == 0 {
            // The other side may have closed already.
            let _: io::Result<()> = to.shutdown().await;
            return Ok(());
        }
        idle.moved();
        to.write_all(&piece[..length])
            .await
            .map_err(|_| End::Writing)?;
        to.flush().await.map_err(|_| End::Writing)?;
    }
}

/// The time by which a byte has to arrive, in either direction.
struct Idle {
    limit: Duration,
    until: Cell<Nanos>,
}

impl Idle {
    fn new(limit: Duration) -> Self {
        let until = Cell::new(Nanos::now() + limit);
        Self { limit, until }
    }

    fn moved(&self) {
        self.until.set(Nanos::now() + self.limit);
    }

    async fn passed(&self) {
        let mut watchdog = Watchdog::new(self.until.get());
        poll_fn(|cx| watchdog.poll(cx, || self.until.get())).await;
    }
}

/// Ready after `limit`; never for `Duration::MAX`.
async fn after(limit: Duration) {
    if limit == Duration::MAX {
        pending().await
    }
    tokio::time::sleep(limit).await;
}

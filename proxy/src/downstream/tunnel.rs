//! Upgraded connections (RFC 9110, 7.8), such as WebSocket: bytes both ways,
//! whatever they mean, until both sides have closed.

use std::{
    cell::Cell,
    future::{pending, poll_fn},
    io,
    time::Duration,
};

use pingora_core::{protocols::Stream, server::ShutdownWatch};
use tailback_scaler::clock::Nanos;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::{
    exchange::{Exchange, StreamState, Watchdog},
    net::Transport,
    status::Outcome,
    upstream::PooledConnection,
};

/// Copied at once, in bytes.
const PIECE: usize = 16 * 1024;

/// Both have agreed to upgrade; the caller's side follows when the answer that
/// says so is out.
#[derive(Debug)]
pub struct Tunnel {
    /// In this order: the slot goes back before the request ends.
    pooled: PooledConnection,
    exchange: Exchange,
}

/// Which side has broken off.
enum Broken {
    Caller,
    Replica,
}

impl Tunnel {
    /// For a request that the pooled's replica has answered with 101.
    #[must_use]
    pub fn new(pooled: PooledConnection, exchange: Exchange) -> Self {
        Self { pooled, exchange }
    }

    /// Runs it to its end. While draining, that is at most `TAILBACK_TUNNEL_DRAIN_SECONDS` away.
    pub(super) async fn run(
        self,
        caller: Transport<Stream>,
        state: &StreamState,
        shutdown: ShutdownWatch,
    ) {
        let Self {
            pooled,
            mut exchange,
        } = self;
        let (timeouts, limits) = (state.connection().timeouts(), state.limits());
        let idle = Idle::new(limits.stream_idle);
        let (permit, replica) = match pooled.into_io().await {
            Ok(parts) => parts,
            Err(_) => return exchange.set_outcome(Outcome::UpstreamReset),
        };
        let outcome = tokio::select! {
            ended = both_ways(caller, replica, &idle) => match ended {
                Ok(()) => Outcome::Success,
                Err(Broken::Caller) => Outcome::CallerGone,
                Err(Broken::Replica) => Outcome::UpstreamReset,
            },
            () = idle.passed() => Outcome::UpstreamSlow,
            () = after(limits.total) => Outcome::UpstreamSlow,
            () = drained(shutdown, timeouts.tunnel_drain) => Outcome::Success,
        };
        exchange.set_outcome(outcome);
        drop(permit);
    }
}

async fn both_ways(
    caller: Transport<Stream>,
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

/// Which end of one way has broken off.
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

/// Copies until the end, and passes that on.
async fn one_way<A: AsyncRead, B: AsyncWrite>(
    mut from: ReadHalf<A>,
    mut to: WriteHalf<B>,
    idle: &Idle,
) -> Result<(), End> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece).await.map_err(|_| End::Reading)?;
        if length == 0 {
            // Who has closed already need not be told.
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

/// Until when a byte has to come, either way.
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

/// After `limit`; `Duration::MAX` is never.
async fn after(limit: Duration) {
    if limit == Duration::MAX {
        pending().await
    }
    tokio::time::sleep(limit).await;
}

async fn drained(mut shutdown: ShutdownWatch, limit: Duration) {
    let _ = shutdown.wait_for(|&draining| draining).await;
    tokio::time::sleep(limit).await;
}

//! A worker's connections to one address of a replica.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    time::Duration,
};

use tailback_config::Limits;
use tokio::sync::Mutex;

use super::{
    connector::{ConnectError, Connector, HttpOffer},
    http1::Http1,
    http2::Multiplexed,
    upstream_stream::Upstream,
};

/// How often idle connections are checked. Counting sweeps saves reading the clock for each
/// connection given back.
pub const SWEEP: Duration = Duration::from_secs(5);
/// A connection that was idle for more sweeps than this is closed: after 30 to 35 seconds. Most
/// servers close idle connections later, so that their close does not race with a request.
const IDLE_SWEEPS: u32 = 6;
/// A replica does not close a connection for idleness within this time of its use: servers count
/// idle time in whole seconds.
const BUSY: Duration = Duration::from_millis(500);
/// Most idle connections. High enough that callers that alternate do not make the pool close and
/// reopen connections.
const IDLE: usize = 1024;

/// Which pooled connections may carry a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Any that is ready.
    Any,
    /// HTTP/1.1: one that was used within half a second, or a new one. For requests that cannot be
    /// retried: a replica might close a longer idle connection just as the request is sent.
    Busy,
    /// HTTP/1.1: a new one. If it closes, that is not for idleness.
    NewConnection,
}

/// A worker's connections to one address of a replica.
#[derive(Debug, Default)]
pub struct ConnectionPool {
    /// Idle HTTP/1.1 connections, most recently used last.
    idle: RefCell<VecDeque<Idle>>,
    /// Number of sweeps so far.
    sweeps: Cell<u32>,
    multiplexed: Multiplexed,
    /// Held while an HTTP/2 connection is opened, so that concurrent requests wait for it and share
    /// it.
    opening: Mutex<()>,
}

#[derive(Debug)]
struct Idle {
    connection: Http1,
    /// The number of sweeps when it was given back.
    since: u32,
}

impl ConnectionPool {
    /// Takes the most recently used idle HTTP/1.1 connection that `choice` allows. Closed ones are
    /// dropped on the way.
    fn idle(&self, choice: Choice) -> Option<Upstream> {
        let mut idle = self.idle.borrow_mut();
        loop {
            let last = idle.back()?;
            let is_fit = match choice {
                Choice::Any => true,
                Choice::Busy => last.connection.was_used_within(BUSY),
                Choice::NewConnection => false,
            };
            if !is_fit {
                return None;
            }
            let mut connection = idle.pop_back()?.connection;
            let is_open = match choice {
                Choice::Busy => connection.is_still_open(),
                _ => connection.is_ready(),
            };
            if is_open {
                return Some(Upstream::Http1(connection));
            }
        }
    }

    /// A pooled connection with room for a request.
    #[must_use]
    pub(super) fn ready(&self, offer: HttpOffer, choice: Choice) -> Option<Upstream> {
        let idle = || self.idle(choice);
        let stream = || {
            self.multiplexed
                .take()
                .map(|s| Upstream::Http2(Box::new(s)))
        };
        match offer {
            HttpOffer::Http1 => idle(),
            HttpOffer::Http2 => stream(),
            HttpOffer::Either => stream().or_else(idle),
        }
    }

    /// Opens a new connection to `authority`, which requests call `name`, or takes one that became
    /// ready meanwhile.
    pub(super) async fn open(
        &self,
        connector: &Connector,
        offer: HttpOffer,
        choice: Choice,
        (authority, name): (&str, &str),
        limit: Duration,
        limits: &Limits,
    ) -> Result<Upstream, ConnectError> {
        // Waiting for another request's connection attempt counts as well, so that the request can
        // try another replica in time.
        let opening = async {
            let _alone = match offer {
                HttpOffer::Http1 => None,
                HttpOffer::Http2 | HttpOffer::Either => {
                    let alone = self.opening.lock().await;
                    if let Some(upstream) = self.ready(offer, choice) {
                        return Ok(upstream);
                    }
                    Some(alone)
                }
            };
            let (io, spoken) = connector.open(offer, authority, name).await?;
            Ok::<_, ConnectError>(match spoken {
                HttpOffer::Http2 => {
                    Upstream::Http2(Box::new(self.multiplexed.open(io, limits).await?))
                }
                _ => Upstream::Http1(Http1::new(io, limits)),
            })
        };
        let opened = tokio::time::timeout(limit, opening).await;
        opened.map_err(|_| ConnectError::Slow)?
    }

    /// Takes a connection back for the next request.
    pub(super) fn give(&self, upstream: Upstream) {
        match upstream {
            // Dropping it closes it.
            Upstream::Http1(connection) if connection.is_worn() => {}
            Upstream::Http1(connection) => {
                let mut idle = self.idle.borrow_mut();
                if idle.len() == IDLE {
                    idle.pop_front();
                }
                let since = self.sweeps.get();
                idle.push_back(Idle { connection, since });
            }
            // A stream's connection never left the pool.
            Upstream::Http2(_) => {}
        }
    }

    /// Closes connections that were idle for too long or that the replica has closed. Call it every
    /// [`SWEEP`].
    pub fn sweep(&self) {
        let now = self.sweeps.get().wrapping_add(1);
        self.sweeps.set(now);
        self.idle.borrow_mut().retain_mut(|idle| {
            now.wrapping_sub(idle.since) <= IDLE_SWEEPS && idle.connection.is_ready()
        });
        self.multiplexed.drop_closed();
        self.multiplexed.drop_worn();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Socket, Transport};
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
    };

    /// A pool with `count` idle connections, and the replica's ends of them.
    async fn pool(count: usize) -> (ConnectionPool, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = tailback_config::Limits {
            header_fields: 100,
            header_bytes: 16 * 1024,
            held_bytes: 0,
            memory: tailback_config::MemoryMax::Unlimited,
            connections: None,
        };
        let (pool, mut ends) = (ConnectionPool::default(), Vec::new());
        for _ in 0..count {
            let io = Transport::clear(Socket::connect(&address.to_string()).await.unwrap());
            let connection = Http1::new(io, &config);
            pool.give(Upstream::Http1(connection));
            ends.push(listener.accept().await.unwrap().0);
        }
        (pool, ends)
    }

    fn count(pool: &ConnectionPool) -> usize {
        pool.idle.borrow().len()
    }

    #[tokio::test]
    async fn idle_connections_are_closed_in_time_and_bounded_in_number() {
        let (pool, mut ends) = pool(IDLE + 2).await;
        assert_eq!(count(&pool), IDLE);
        // The connection that was idle longest was closed.
        for end in &mut ends[..2] {
            assert_eq!(end.read(&mut [0]).await.unwrap(), 0);
        }
        for _ in 0..IDLE_SWEEPS {
            pool.sweep();
        }
        assert_eq!(count(&pool), IDLE);
        // One connection is used, and starts to be idle anew.
        let used = pool.ready(HttpOffer::Http1, Choice::Any).unwrap();
        pool.give(used);
        pool.sweep();
        assert_eq!(count(&pool), 1);
        assert_eq!(ends[2].read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn connections_closed_by_the_replica_are_dropped_without_a_request() {
        let (pool, mut ends) = pool(3).await;
        drop(ends.pop());
        while count(&pool) > 2 {
            // Waits until the runtime has noticed the close.
            tokio::task::yield_now().await;
            pool.sweep();
            assert!(pool.sweeps.get() < IDLE_SWEEPS, "it is found by its end");
        }
    }
}

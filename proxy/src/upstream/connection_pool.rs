//! A worker's connections to one address of a replica.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    time::Duration,
};

use tailback_config::Limits;
use tokio::sync::Mutex;

use super::{
    connector::{ConnectError, Connector, Offer},
    http1::Http1,
    http2::Multiplexed,
    upstream_stream::Upstream,
};

/// How often idle connections are looked through, which takes no look at the
/// clock when one is given back.
pub const SWEEP: Duration = Duration::from_secs(5);
/// Those that were idle for as many sweeps are closed at the next: after 30 to 35
/// seconds, before most servers do, whose close could meet a request.
const IDLE_SWEEPS: u32 = 6;
/// What was used within this time is not closed for having been idle: servers count whole seconds.
const BUSY: Duration = Duration::from_millis(500);
/// Idle connections at most: far more than callers that take turns leave idle for
/// a moment, which would be closed and opened again all the time.
const IDLE: usize = 1024;

/// Which connections may carry a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Any that is ready.
    Any,
    /// On HTTP/1.1 one that is not idle for long, or a new one: for what cannot be sent twice,
    /// though the replica closes the connection for having been idle at that very moment.
    Busy,
    /// On HTTP/1.1 a new one: if that closes, it is not for having been idle.
    NewConnection,
}

/// A worker's connections to one address of a replica.
#[derive(Debug, Default)]
pub struct ConnectionPool {
    /// HTTP/1.1 connections that wait for a request, last used last.
    idle: RefCell<VecDeque<Idle>>,
    /// Sweeps so far.
    sweeps: Cell<u32>,
    multiplexed: Multiplexed,
    /// Held while a connection for many is opened: who comes meanwhile gets a
    /// stream of that.
    opening: Mutex<()>,
}

#[derive(Debug)]
struct Idle {
    connection: Http1,
    /// The sweep after which it was given back.
    since: u32,
}

impl ConnectionPool {
    /// An HTTP/1.1 connection that is ready, the last used first; those that have closed
    /// meanwhile are dropped.
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

    /// What is open and has room for a request.
    #[must_use]
    pub(super) fn ready(&self, offer: Offer, choice: Choice) -> Option<Upstream> {
        let idle = || self.idle(choice);
        let stream = || {
            self.multiplexed
                .take()
                .map(|s| Upstream::Http2(Box::new(s)))
        };
        match offer {
            Offer::Http1 => idle(),
            Offer::Http2 => stream(),
            Offer::Either => stream().or_else(idle),
        }
    }

    /// Something new.
    pub(super) async fn open(
        &self,
        connector: &Connector,
        offer: Offer,
        choice: Choice,
        authority: &str,
        limit: Duration,
        limits: &Limits,
    ) -> Result<Upstream, ConnectError> {
        // All of it within the limit: who waits for another's connection to a
        // replica that says nothing goes elsewhere in time.
        let opening = async {
            let _alone = match offer {
                Offer::Http1 => None,
                Offer::Http2 | Offer::Either => {
                    let alone = self.opening.lock().await;
                    if let Some(upstream) = self.ready(offer, choice) {
                        return Ok(upstream);
                    }
                    Some(alone)
                }
            };
            let (io, spoken) = connector.open(offer, authority).await?;
            Ok::<_, ConnectError>(match spoken {
                Offer::Http2 => Upstream::Http2(Box::new(self.multiplexed.open(io, limits).await?)),
                _ => Upstream::Http1(Http1::open(io, limits).await?),
            })
        };
        let opened = tokio::time::timeout(limit, opening).await;
        opened.map_err(|_| ConnectError::Slow)?
    }

    /// Takes back what may serve the next request.
    pub(super) fn give(&self, upstream: Upstream) {
        match upstream {
            Upstream::Http1(connection) => {
                let mut idle = self.idle.borrow_mut();
                if idle.len() == IDLE {
                    idle.pop_front();
                }
                let since = self.sweeps.get();
                idle.push_back(Idle { connection, since });
            }
            // The connection is here already.
            Upstream::Http2(_) => {}
        }
    }

    /// Closes what has been idle for long, or was closed by the replica. To be
    /// called once each [`SWEEP`].
    pub fn sweep(&self) {
        let now = self.sweeps.get().wrapping_add(1);
        self.sweeps.set(now);
        self.idle.borrow_mut().retain_mut(|idle| {
            now.wrapping_sub(idle.since) <= IDLE_SWEEPS && idle.connection.is_ready()
        });
        self.multiplexed.drop_closed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Transport;
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
            connections: None,
        };
        let (pool, mut ends) = (ConnectionPool::default(), Vec::new());
        for _ in 0..count {
            let io = Transport::clear(TcpStream::connect(address).await.unwrap());
            let connection = Http1::open(io, &config).await.unwrap();
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
        // The longest idle went.
        for end in &mut ends[..2] {
            assert_eq!(end.read(&mut [0]).await.unwrap(), 0);
        }
        for _ in 0..IDLE_SWEEPS {
            pool.sweep();
        }
        assert_eq!(count(&pool), IDLE);
        // One is used, and idle anew.
        let used = pool.ready(Offer::Http1, Choice::Any).unwrap();
        pool.give(used);
        pool.sweep();
        assert_eq!(count(&pool), 1);
        assert_eq!(ends[2].read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn those_that_the_replica_closed_go_without_a_request() {
        let (pool, mut ends) = pool(3).await;
        drop(ends.pop());
        while count(&pool) > 2 {
            // Its end arrives by the reactor.
            tokio::task::yield_now().await;
            pool.sweep();
            assert!(pool.sweeps.get() < IDLE_SWEEPS, "it is found by its end");
        }
    }
}

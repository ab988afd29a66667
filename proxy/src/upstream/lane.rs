//! A worker's connections to one address of a replica.

use std::{cell::RefCell, time::Duration};

use tailback_config::Limits;
use tokio::sync::Mutex;

use super::{Choice, Dial, DialError, Http1, Upstream, dial::Wire, http2::Multiplexed};

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Lane {
    /// HTTP/1.1 connections that wait for a request, last used last.
    idle: RefCell<Vec<Http1>>,
    multiplexed: Multiplexed,
    /// Held while a connection for many is opened: who comes meanwhile gets a
    /// stream of that.
    opening: Mutex<()>,
}

impl Lane {
    /// An HTTP/1.1 connection that is ready; those that have closed meanwhile
    /// are dropped.
    fn idle(&self) -> Option<Upstream> {
        let mut idle = self.idle.borrow_mut();
        while let Some(mut connection) = idle.pop() {
            if connection.is_ready() {
                return Some(Upstream::Http1(connection));
            }
        }
        None
    }

    /// What is open and has room for a request.
    #[must_use]
    pub(super) fn ready(&self, wire: Wire, choice: Choice) -> Option<Upstream> {
        let idle = || match choice {
            Choice::Any => self.idle(),
            Choice::Fresh => None,
        };
        let stream = || {
            self.multiplexed
                .take()
                .map(|s| Upstream::Http2(Box::new(s)))
        };
        match wire {
            Wire::Http1 => idle(),
            Wire::Http2 => stream(),
            Wire::Either => stream().or_else(idle),
        }
    }

    /// Something new.
    pub(super) async fn open(
        &self,
        dial: &Dial,
        wire: Wire,
        choice: Choice,
        authority: &str,
        limit: Duration,
        limits: &Limits,
    ) -> Result<Upstream, DialError> {
        // All of it within the limit: who waits for another's connection to a
        // replica that says nothing goes elsewhere in time.
        let opening = async {
            let _alone = match wire {
                Wire::Http1 => None,
                Wire::Http2 | Wire::Either => {
                    let alone = self.opening.lock().await;
                    if let Some(upstream) = self.ready(wire, choice) {
                        return Ok(upstream);
                    }
                    Some(alone)
                }
            };
            let (io, spoken) = dial.open(wire, authority).await?;
            Ok::<_, DialError>(match spoken {
                Wire::Http2 => Upstream::Http2(Box::new(self.multiplexed.open(io, limits).await?)),
                _ => Upstream::Http1(Http1::open(io, limits).await?),
            })
        };
        let opened = tokio::time::timeout(limit, opening).await;
        opened.map_err(|_| DialError::Slow)?
    }

    /// Takes back what may serve the next request.
    pub(super) fn give(&self, upstream: Upstream) {
        match upstream {
            Upstream::Http1(connection) => self.idle.borrow_mut().push(connection),
            // The connection is here already.
            Upstream::Http2(_) => {}
        }
    }
}

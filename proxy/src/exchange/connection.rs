//! What all requests on one caller's connection share.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::HeaderValue;
use smallvec::SmallVec;
use tailback_config::Timeouts;

use super::{Exchange, LINGER};
use crate::net::HttpVersion;
use crate::status::Outcome;

/// Whether a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// It is not.
    Http,
    /// By TLS.
    Https,
}

/// One caller's connection, as its requests see it.
#[derive(Debug)]
pub struct Connection {
    timeouts: Timeouts,
    /// The caller's address, as `x-forwarded-for` has it.
    pub peer: HeaderValue,
    /// How requests are framed on it.
    pub version: HttpVersion,
    /// Whether it is encrypted.
    pub scheme: Scheme,
    /// No further request on it.
    closing: Cell<bool>,
    /// How long it is kept without one, once it takes no further ones.
    linger: Cell<Duration>,
    /// The caller does not take what is written.
    pub write_blocked: Cell<bool>,
    /// Bytes have come of it, since somebody looked last.
    pub heard: Rc<Cell<bool>>,
    /// A response has been handed over whole, but is not flushed.
    unflushed: Cell<bool>,
    /// The requests these responses are for.
    finished: RefCell<SmallVec<[Exchange; 1]>>,
    /// How often all that was written has gone out.
    flushes: Cell<u64>,
    /// Who waits for the next time.
    awaiting: RefCell<Vec<Waker>>,
}

/// What was written before this moment.
#[derive(Clone, Copy, Debug)]
pub struct Written(u64);

impl Connection {
    /// A new connection of `peer`.
    #[must_use]
    pub fn new(
        timeouts: Timeouts,
        peer: Option<SocketAddr>,
        version: HttpVersion,
        scheme: Scheme,
    ) -> Self {
        let unknown = HeaderValue::from_static("unknown");
        let peer = peer
            .map_or(Ok(unknown.clone()), |p| p.ip().to_string().try_into())
            .unwrap_or(unknown);
        Self {
            timeouts,
            peer,
            version,
            scheme,
            closing: Cell::new(false),
            linger: Cell::new(LINGER),
            write_blocked: Cell::new(false),
            heard: Rc::default(),
            unflushed: Cell::new(false),
            finished: RefCell::default(),
            flushes: Cell::new(0),
            awaiting: RefCell::default(),
        }
    }

    /// How long things may take on it.
    #[must_use]
    pub fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// A response has been handed over to the last byte. Its request, if it was
    /// for a model, is complete when those bytes are flushed.
    pub fn finish(&self, exchange: Option<Exchange>) {
        self.unflushed.set(true);
        self.finished.borrow_mut().extend(exchange);
    }

    /// All that was written has gone out. Whether a response ended with it.
    pub fn flushed(&self) -> bool {
        self.write_blocked.set(false);
        self.flushes.set(self.flushes.get() + 1);
        for waker in self.awaiting.borrow_mut().drain(..) {
            waker.wake();
        }
        let ended = self.unflushed.take();
        if ended {
            self.finished.borrow_mut().clear();
        }
        ended
    }

    /// What has been written so far.
    #[must_use]
    pub fn written(&self) -> Written {
        Written(self.flushes.get())
    }

    /// Ready once `written`, and what the connection's task had to write with it, has
    /// gone out.
    pub fn poll_flushed(&self, written: Written, cx: &mut Context<'_>) -> Poll<()> {
        if self.flushes.get() > written.0 {
            return Poll::Ready(());
        }
        self.awaiting.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }

    /// What has been handed over and not flushed will not be, for `lost`.
    pub fn undelivered(&self, lost: Outcome) {
        for mut exchange in self.finished.borrow_mut().drain(..) {
            exchange.undelivered(lost);
        }
    }

    /// It takes no further request.
    pub fn close_after_this(&self) {
        self.closing.set(true);
    }

    /// How long it is kept idle once it is [closing](Self::close_after_this).
    #[must_use]
    pub fn linger(&self) -> Duration {
        self.linger.get()
    }

    /// Changes that.
    pub fn set_linger(&self, linger: Duration) {
        self.linger.set(linger);
    }

    /// Whether the next response is the last.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.get()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.undelivered(Outcome::CallerGone);
    }
}

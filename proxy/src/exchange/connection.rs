//! The state that all requests on one downstream connection share.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    os::fd::{BorrowedFd, RawFd},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::HeaderValue;
use smallvec::SmallVec;
use tailback_config::{Sha256, Timeouts};

use super::{Exchange, LINGER, footprint::Footprint};
use crate::{
    net::{HttpVersion, acknowledged},
    overload::{Holder, Holding},
    status::Outcome,
};

/// The scheme of requests on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Clear text.
    Http,
    /// TLS.
    Https,
}

/// One downstream connection, as its requests see it.
#[derive(Debug)]
pub struct Connection {
    timeouts: Arc<Timeouts>,
    /// The caller's IP address for `x-forwarded-for`; `unknown` if the socket has none.
    pub peer: HeaderValue,
    /// The HTTP version.
    pub version: HttpVersion,
    /// Whether the connection is encrypted.
    pub scheme: Scheme,
    /// The hash of the caller's certificate, if it has shown one.
    pub certificate: Option<Sha256>,
    /// Whether it takes no further request after the current one.
    closing: Cell<bool>,
    /// How long it is kept idle while closing.
    linger: Cell<Duration>,
    /// Whether the last write was blocked: the caller does not read.
    pub write_blocked: Cell<bool>,
    /// Whether bytes have arrived since this was reset.
    pub received_bytes: Rc<Cell<bool>>,
    /// Whether a complete response was written and not flushed yet.
    unflushed: Cell<bool>,
    /// The requests of those responses.
    finished: RefCell<SmallVec<[Exchange; 1]>>,
    /// How many times everything written has been flushed.
    flushes: Cell<u64>,
    /// Tasks that wait for the next flush.
    awaiting: RefCell<Vec<Waker>>,
    /// The socket's descriptor, while the socket is open.
    pub socket: Cell<Option<RawFd>>,
    /// What the overload manager reads of this connection.
    pub footprint: Footprint,
}

/// A point in the connection's output, taken by [`Connection::written`].
#[derive(Clone, Copy, Debug)]
pub struct Written(u64);

impl Connection {
    /// A new connection from `peer`.
    #[must_use]
    pub fn new(
        timeouts: Arc<Timeouts>,
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
            certificate: None,
            closing: Cell::new(false),
            linger: Cell::new(LINGER),
            write_blocked: Cell::new(false),
            socket: Cell::new(None),
            received_bytes: Rc::default(),
            unflushed: Cell::new(false),
            finished: RefCell::default(),
            flushes: Cell::new(0),
            awaiting: RefCell::default(),
            footprint: Footprint::default(),
        }
    }

    /// The time limits that apply to it.
    #[must_use]
    pub fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// The response of `exchange` was handed over to its last byte. If it is a counted request, it
    /// completes when these bytes are flushed.
    pub fn finish(&self, exchange: Option<Exchange>) {
        self.unflushed.set(true);
        self.finished.borrow_mut().extend(exchange);
    }

    /// Everything written was flushed. Returns whether that completed a response.
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

    /// The present point in the output.
    #[must_use]
    pub fn written(&self) -> Written {
        Written(self.flushes.get())
    }

    /// Whether the output up to `written` has been flushed.
    #[must_use]
    pub fn has_flushed(&self, written: Written) -> bool {
        self.flushes.get() > written.0
    }

    /// Ready once the output up to `written` has been flushed.
    pub fn poll_flushed(&self, written: Written, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_flushed(written) {
            return Poll::Ready(());
        }
        let mut awaiting = self.awaiting.borrow_mut();
        if !awaiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            awaiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Responses that were written but not flushed will not reach the caller, because of `lost`.
    pub fn undelivered(&self, lost: Outcome) {
        for mut exchange in self.finished.borrow_mut().drain(..) {
            exchange.undelivered(lost);
        }
    }

    /// Whether its caller does not read the bytes that are there for it.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        match self.version {
            HttpVersion::Http1 => self.write_blocked.get(),
            // On HTTP/2, also because of flow-control windows that the caller does not open.
            HttpVersion::Http2 => self.footprint.has_blocked_streams(),
        }
    }

    /// Closes the connection after the current request.
    pub fn close_after_this(&self) {
        self.closing.set(true);
    }

    /// How long an idle connection is kept once it is [closing](Self::close_after_this).
    #[must_use]
    pub fn linger(&self) -> Duration {
        self.linger.get()
    }

    /// Sets [`linger`](Self::linger).
    pub fn set_linger(&self, linger: Duration) {
        self.linger.set(linger);
    }

    /// Whether the next response is the last one.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.get()
    }
}

impl Connection {
    /// The number of bytes that the caller's host has acknowledged, while the socket accepts none.
    /// This is finer than what the socket accepts: it accepts more only when much of its buffer is
    /// free, so a slow reader would look like one that reads nothing.
    fn acknowledged(&self) -> Option<u64> {
        let descriptor = self.socket.get().filter(|_| self.write_blocked.get())?;
        // SAFETY: the code that closes the socket removes it from `socket` first, on this thread.
        acknowledged(unsafe { BorrowedFd::borrow_raw(descriptor) })
    }
}

impl Holder for Connection {
    fn holding(&self, number: u64) -> Option<Holding> {
        self.footprint
            .holding(self.is_blocked(), self.acknowledged(), number)
    }

    fn shed(&self) {
        self.footprint.shed();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.undelivered(Outcome::CallerGone);
    }
}

//! Moves a session's frames between it and the connection's bytes.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    Reason,
    error::{ConnectionError, Http2Error},
    frame::PREFACE,
    session::{Http2Limits, Http2Session, Role},
};

/// Bytes that are read at a time, and before them a frame whose end had not come.
const READ: usize = 64 * 1024;

thread_local! {
    /// The buffer into which all connections of a thread read: a waiting connection has none.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// A connection: its bytes, and its session.
#[derive(Debug)]
pub(super) struct Driver<T> {
    io: T,
    pub(super) session: Rc<RefCell<Http2Session>>,
    /// The beginning of a frame.
    partial: Vec<u8>,
    /// How many bytes of the client's preface are to come.
    preface: usize,
    is_shut_down: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    pub(super) fn new(io: T, role: Role, limits: Http2Limits) -> Self {
        Self {
            io,
            session: Rc::new(RefCell::new(Http2Session::new(role, limits))),
            partial: Vec::new(),
            preface: match role {
                Role::Server => PREFACE.len(),
                Role::Client => 0,
            },
            is_shut_down: false,
        }
    }

    /// The connection's task begins to work, and [writes](Self::poll_write) at the end.
    pub(super) fn begin(&self, cx: &Context<'_>) {
        self.session.borrow_mut().begin(cx);
    }

    /// Reads what has arrived, once. Ready if something has, or the connection has ended.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.session.borrow().ended.is_some() {
            return Poll::Ready(());
        }
        if self.session.borrow().is_full() {
            let written = (self.session.borrow_mut().output).poll_write(&mut self.io, cx);
            if let Poll::Ready(Err(error)) = written {
                self.session.borrow_mut().end(Http2Error::Io(error.kind()));
                return Poll::Ready(());
            }
            if self.session.borrow().is_full() {
                return Poll::Pending;
            }
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let held = self.partial.len();
            let mut read = ReadBuf::new(scratch);
            read.put_slice(&self.partial);
            let result = ready!(Pin::new(&mut self.io).poll_read(cx, &mut read));
            let error = match result {
                Ok(()) if read.filled().len() == held => Some(io::ErrorKind::UnexpectedEof),
                Ok(()) => None,
                Err(error) => Some(error.kind()),
            };
            match error {
                Some(error) => self.session.borrow_mut().end(Http2Error::Io(error)),
                None => self.received(read.filled()),
            }
            Poll::Ready(())
        })
    }

    fn received(&mut self, bytes: &[u8]) {
        let mut session = self.session.borrow_mut();
        let (preface, frames) = bytes.split_at(self.preface.min(bytes.len()));
        if !preface.is_empty() {
            if !PREFACE[PREFACE.len() - self.preface..].starts_with(preface) {
                return session.violated(ConnectionError(Reason::PROTOCOL_ERROR));
            }
            self.preface -= preface.len();
        }
        match session.receive(frames) {
            Ok(taken) if taken == frames.len() => self.partial = Vec::new(),
            Ok(taken) => {
                self.partial.clear();
                self.partial.extend_from_slice(&frames[taken..]);
            }
            Err(error) => {
                self.partial = Vec::new();
                session.violated(error);
            }
        }
    }

    /// Writes everything, as far as the connection takes it, and gives streams that wait for that
    /// their turn. To be called at the end of each poll of the connection's task.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Http2Error>> {
        let written = self
            .session
            .borrow_mut()
            .output
            .poll_write(&mut self.io, cx);
        {
            let mut session = self.session.borrow_mut();
            if session.serve_queue() {
                cx.waker().wake_by_ref();
            }
            session.end_of_turn();
        }
        let flushed = match written {
            Poll::Ready(Ok(())) => Pin::new(&mut self.io).poll_flush(cx),
            written => written,
        };
        flushed.map_err(|error| {
            let error = Http2Error::Io(error.kind());
            self.session.borrow_mut().end(error);
            error
        })
    }

    /// Writes what is left, and closes the connection. What the peer still sends, such as
    /// WINDOW_UPDATEs for the last answer, is dropped until it closes its side. A socket that is closed
    /// with unread bytes is reset, by which the peer could lose that answer, or the GOAWAY.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_shut_down {
            if ready!(self.poll_write(cx)).is_err() {
                return Poll::Ready(());
            }
            let shut_down = ready!(Pin::new(&mut self.io).poll_shutdown(cx));
            self.is_shut_down = true;
            if shut_down.is_err() {
                return Poll::Ready(());
            }
        }
        if let Some(Http2Error::Io(_)) = self.session.borrow().ended {
            return Poll::Ready(());
        }
        SCRATCH.with_borrow_mut(|scratch| {
            loop {
                let mut read = ReadBuf::new(scratch);
                let result = ready!(Pin::new(&mut self.io).poll_read(cx, &mut read));
                if result.is_err() || read.filled().is_empty() {
                    return Poll::Ready(());
                }
            }
        })
    }
}

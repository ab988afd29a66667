//! One HTTP/1.1 connection to a replica.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{Request, Response};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tailback_config::Limits;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};

use crate::{coalesce, downstream::RequestBody};

/// A connection, and the means to send requests on it.
#[derive(Debug)]
pub struct Upstream {
    sender: http1::SendRequest<RequestBody>,
    connection: Pin<Box<http1::Connection<TokioIo<CountingIo>, RequestBody>>>,
    closed: bool,
    /// Whether it has carried a request before.
    reused: bool,
    /// Whether anything was received since the request was sent.
    answered: Rc<Cell<bool>>,
}

/// Why there is no response.
#[derive(Debug)]
pub enum SendError {
    /// Nothing of the request was sent: here it is back.
    NotSent(Box<Request<RequestBody>>),
    /// The connection had been used before and closed before any response
    /// byte: most likely the replica closed it just before.
    Stale,
    /// It broke.
    Broken,
}

impl Upstream {
    /// Connects to `authority` (`host:port`) within `limit`.
    ///
    /// # Errors
    /// If it cannot be reached.
    pub async fn open(authority: &str, limit: Duration, limits: &Limits) -> io::Result<Self> {
        let tcp = timeout(limit, TcpStream::connect(authority)).await??;
        tcp.set_nodelay(true)?;
        let answered = Rc::new(Cell::new(false));
        let io = TokioIo::new(CountingIo {
            tcp,
            received: answered.clone(),
        });
        let (sender, connection) = http1::Builder::new()
            .max_headers(limits.header_fields.max(100))
            .handshake(io)
            .await
            .map_err(io::Error::other)?;
        Ok(Self {
            sender,
            connection: Box::pin(connection),
            closed: false,
            reused: false,
            answered,
        })
    }

    /// Whether it has carried a request before.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// Lets the connection make what progress it can. `cx` is woken when it
    /// can make more.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.closed && self.connection.as_mut().poll(cx).is_ready() {
            self.closed = true;
        }
    }

    /// Whether a request can be sent now: it is open, and has ended the last one.
    pub fn is_ready(&mut self) -> bool {
        // Nobody needs to be woken: it is looked at before each use.
        self.drive(&mut Context::from_waker(Waker::noop()));
        !self.closed && self.sender.is_ready()
    }

    /// Sends `request` and waits for the response's head.
    ///
    /// # Errors
    /// [`SendError`], which says whether it may be sent again.
    pub async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, SendError> {
        self.answered.set(false);
        let reused = std::mem::replace(&mut self.reused, true);
        let mut response = pin!(self.sender.try_send_request(request));
        let result = poll_fn(|cx| {
            let first = response.as_mut().poll(cx);
            if first.is_ready() {
                return first.map(Some);
            }
            self.drive(cx);
            match response.as_mut().poll(cx) {
                Poll::Pending if self.closed => Poll::Ready(None),
                polled => polled.map(Some),
            }
        })
        .await;
        match result {
            Some(Ok(response)) => Ok(response),
            Some(Err(mut error)) => match error.take_message() {
                Some(request) => Err(SendError::NotSent(Box::new(request))),
                None if reused && !self.answered.get() => Err(SendError::Stale),
                None => Err(SendError::Broken),
            },
            None if reused && !self.answered.get() => Err(SendError::Stale),
            None => Err(SendError::Broken),
        }
    }
}

/// A replica's bytes; tells whether any came.
#[derive(Debug)]
struct CountingIo {
    tcp: TcpStream,
    received: Rc<Cell<bool>>,
}

impl AsyncRead for CountingIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.tcp).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.received.set(true);
        }
        result
    }
}

impl AsyncWrite for CountingIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        coalesce::poll_write(
            Pin::new(&mut self.tcp),
            cx,
            slices,
            |tcp, cx, bytes| tcp.poll_write(cx, bytes),
            |tcp, cx, slices| tcp.poll_write_vectored(cx, slices),
        )
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

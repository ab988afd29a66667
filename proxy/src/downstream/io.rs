//! A caller's byte stream that reports reads, blocked writes and flushes to the state of its
//! connection.

use std::{
    io,
    os::fd::AsRawFd,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tailback_config::HalfClose;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::half_close::HalfClosed;
use crate::{
    exchange::{Connection, FairShare, Phase, StreamState},
    net::{Socket, Transport},
};

pub(super) struct WatchedIo {
    _known: KnownSocket,
    io: Transport<Socket>,
    connection: Rc<Connection>,
    version: Version,
}

/// Registers the socket with its connection for as long as the socket is open.
struct KnownSocket(Rc<Connection>);

impl KnownSocket {
    fn of(io: &Transport<Socket>, connection: &Rc<Connection>) -> Self {
        let socket = io.carrier().descriptor();
        connection
            .socket
            .set(socket.map(|socket| socket.as_raw_fd()));
        Self(connection.clone())
    }
}

impl Drop for KnownSocket {
    fn drop(&mut self) {
        self.0.socket.set(None);
    }
}

enum Version {
    Http1(WatchedHttp1),
    /// Its share of the worker's time: streams can make the caller send much at once, also such as are
    /// held.
    Http2(Rc<FairShare>),
}

/// The state that is watched on HTTP/1.1.
struct WatchedHttp1 {
    state: Rc<StreamState>,
    policy: HalfClose,
    /// Whether some of the current answer was sent.
    is_answering: bool,
    /// Set once the caller has closed its sending side, if its request is answered all the same.
    half_closed: Option<HalfClosed>,
    /// How often the end of the caller's side was reached while its request's body was being read.
    ends: u8,
}

/// How often the end of the caller's side is held back while the request's body is read: all of
/// the body may have arrived without the handler having seen it.
const ENDS_KEPT_BACK: u8 = 8;

impl WatchedIo {
    pub(super) fn http1(io: Transport<Socket>, state: Rc<StreamState>, policy: HalfClose) -> Self {
        Self {
            _known: KnownSocket::of(&io, state.connection()),
            io,
            connection: state.connection().clone(),
            version: Version::Http1(WatchedHttp1 {
                state,
                policy,
                is_answering: false,
                half_closed: None,
                ends: 0,
            }),
        }
    }

    pub(super) fn http2(io: Transport<Socket>, connection: Rc<Connection>) -> Self {
        Self {
            _known: KnownSocket::of(&io, &connection),
            io,
            connection,
            version: Version::Http2(Rc::new(FairShare::of_connection())),
        }
    }

    pub(super) fn into_inner(self) -> Transport<Socket> {
        self.io
    }

    fn written(&mut self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.connection.write_blocked.set(result.is_pending());
        if let Version::Http1(http) = &mut self.version {
            if let Poll::Ready(Ok(bytes)) = result {
                self.connection.footprint.took(bytes);
            }
            // Before the body has arrived, while no answer has begun, this is `100 Continue`.
            http.is_answering |= http.state.is_asked()
                || matches!(http.state.phase(), Phase::FirstByte | Phase::Streaming);
        }
        result
    }
}

impl WatchedHttp1 {
    /// Reading after the caller has closed its side: pending as long as its request is to be
    /// answered.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.half_closed {
            Some(_) if !self.state.has_request() => Poll::Ready(Ok(())),
            Some(half_closed) if self.state.body.get().is_settled() => half_closed
                .poll_broken(cx)
                .map(|()| Err(io::ErrorKind::ConnectionReset.into())),
            Some(_) | None => self.keep_back(cx),
        }
    }

    /// Holds the end of the caller's side back for a moment, in which the arrived part of the body
    /// is read.
    fn keep_back(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ends >= ENDS_KEPT_BACK {
            return Poll::Ready(Ok(()));
        }
        self.ends += 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncRead for WatchedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self {
            io,
            connection,
            version,
            ..
        } = &mut *self;
        match version {
            Version::Http1(http) if http.half_closed.is_some() => return http.poll_end(cx),
            Version::Http1(_) => {}
            Version::Http2(share) => {
                if FairShare::poll(share, cx).is_pending() {
                    // The caller may well have sent something.
                    connection.received_bytes.set(true);
                    return Poll::Pending;
                }
            }
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut *io).poll_read(cx, buf);
        if result.is_pending() {
            if let Version::Http2(share) = version {
                share.ran_dry();
            }
            return result;
        }
        let received = &buf.filled()[before..];
        match version {
            Version::Http1(http) => {
                let has_ended = received.is_empty() && buf.remaining() > 0;
                if has_ended
                    && matches!(result, Poll::Ready(Ok(())))
                    && http.policy == HalfClose::Answer
                    && http.state.has_request()
                    && (!http.is_answering || http.state.is_handed_over())
                {
                    if http.state.body.get().is_settled() {
                        let is_probed = http.state.takes_interim() && !http.is_answering;
                        http.half_closed = Some(HalfClosed::begin(io, is_probed, cx)?);
                    }
                    let end = http.poll_end(cx);
                    if !matches!(end, Poll::Ready(Ok(()))) {
                        return end;
                    }
                }
                http.ends = 0;
                // Also at the end of the stream: the reader handles it.
                http.state.received();
            }
            Version::Http2(share) => {
                share.spend(received.len());
                connection.received_bytes.set(true);
            }
        }
        result
    }
}

impl AsyncWrite for WatchedIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.written(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.written(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_flush(cx);
        // TLS buffers what the socket does not take.
        if result.is_pending() {
            self.connection.write_blocked.set(true);
        }
        // Both HTTP versions flush after they have written all available bytes.
        if let Poll::Ready(Ok(())) = result
            && self.connection.flushed()
            && let Version::Http1(http) = &mut self.version
        {
            http.state.flushed();
            http.is_answering = false;
            if http.half_closed.is_some() {
                // The end of the caller's side can be reported now.
                cx.waker().wake_by_ref();
            }
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixtures::connected, *};
    use std::future::poll_fn;
    use tokio::io::AsyncWriteExt;

    use crate::net::HttpVersion;

    /// A read takes as much as there is room for.
    const READ: usize = 64 * 1024;

    #[tokio::test]
    async fn a_caller_that_sends_much_by_http2_is_read_in_turns() {
        const SENT: usize = 1 << 20;
        let (connection, io, mut caller) = connected(HttpVersion::Http2).await;
        let send = tokio::spawn(async move {
            caller.write_all(&vec![b'x'; SENT]).await.unwrap();
            caller
        });
        let mut io = WatchedIo::http2(io, Rc::new(connection));
        let mut turns = Vec::new();
        while turns.iter().sum::<usize>() < SENT {
            let turn = poll_fn(|cx| {
                let mut in_this_turn = 0;
                loop {
                    let mut bytes = vec![0; READ];
                    let mut read = ReadBuf::new(&mut bytes);
                    match Pin::new(&mut io).poll_read(cx, &mut read) {
                        Poll::Ready(result) => result.unwrap(),
                        Poll::Pending if in_this_turn == 0 => return Poll::Pending,
                        Poll::Pending => return Poll::Ready(in_this_turn),
                    }
                    in_this_turn += read.filled().len();
                }
            });
            turns.push(turn.await);
        }
        // A share is not empty before the last read of it.
        assert!(turns.iter().all(|bytes| *bytes < 2 * READ), "{turns:?}");
        drop(send.await.unwrap());
    }
}

//! Callers on HTTP/1.1 that end their side of the connection behind a request. Some wait for the
//! answer (`shutdown(SHUT_WR)`), and most are gone (`close`): in both cases a FIN comes, and nothing
//! else. Whoever is gone answers to anything that is sent with a reset.
//!
//! So a caller that ends its side before any of its answer is out is sent `100 Continue`, which
//! clients read over (RFC 9110, 15.2); later on, the answer itself shows whether it is there. To a
//! caller by HTTP/1.0, which knows no such answers, only the answer is sent, and the probes of TCP
//! keep-alive. A caller that ends its side while its answer comes has no reason but to leave.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pingora::protocols::Stream;
use tokio::{
    io::{AsyncWrite, Interest},
    net::TcpStream,
};

use super::socket;
use crate::net::Transport;

/// What is sent to see whether anybody is there.
const PROBE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A connection whose caller has ended its side.
pub(super) struct HalfClosed {
    /// Ready when the connection is broken.
    broken: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl HalfClosed {
    /// The caller of `io` has ended its side. If it may be probed, it is.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) fn begin(
        io: &mut Transport<Stream>,
        is_probed: bool,
        cx: &mut Context<'_>,
    ) -> io::Result<Self> {
        let broken = broken(io.carrier());
        if is_probed {
            match Pin::new(&mut *io).poll_write(cx, PROBE) {
                Poll::Ready(Ok(length)) if length < PROBE.len() => {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(_)) => {
                    let _ = Pin::new(io).poll_flush(cx)?;
                }
                // Something is on its way, which shows as well whether the caller is there.
                Poll::Pending => {}
            }
        }
        Ok(Self { broken })
    }

    /// Ready when the connection is broken: the caller is gone.
    pub(super) fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(broken) = &mut self.broken else {
            return Poll::Pending;
        };
        ready!(broken.as_mut().poll(cx));
        self.broken = None;
        Poll::Ready(())
    }
}

/// Ends when the socket of `stream` has an error. `None`: it cannot be watched, and a write will
/// show the error.
fn broken(stream: &Stream) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
    let socket = socket::of(stream)?;
    // The runtime watches a descriptor once, and watches the stream's own already.
    let socket = std::net::TcpStream::from(socket.try_clone_to_owned().ok()?);
    let socket = TcpStream::from_std(socket).ok()?;
    Some(Box::pin(async move {
        let _ = socket.ready(Interest::ERROR).await;
    }))
}

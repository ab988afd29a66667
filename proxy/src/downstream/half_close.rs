//! Callers on HTTP/1.1 that close their sending side after a request. Some still wait for the
//! answer (`shutdown(SHUT_WR)`), but most are gone (`close`). In both cases the proxy receives a
//! FIN and nothing else. The host of a caller that is gone answers anything that is sent to it
//! with a reset.
//!
//! So a caller that closes its side before any of its answer was sent gets `100 Continue`, which
//! clients ignore (RFC 9110, 15.2); later, the answer itself serves as the probe. To a caller by
//! HTTP/1.0, which does not know interim answers, only the answer and the probes of TCP keep-alive
//! are sent. A caller that closes its side while its answer is being sent counts as gone.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncWrite, Interest},
    net::TcpStream,
};

use crate::net::{Socket, Transport};

/// Sent to find out whether the caller is still there.
const PROBE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A connection whose caller has closed its sending side.
pub(super) struct HalfClosed {
    /// Ready when the connection is broken.
    broken: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl HalfClosed {
    /// The caller of `io` has closed its sending side. Sends the probe if that is allowed.
    ///
    /// # Errors
    /// If the connection is broken.
    pub(super) fn begin(
        io: &mut Transport<Socket>,
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
                // Other bytes are being sent, and serve as the probe.
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

/// Ends when `socket` has an error. `None`: it cannot be watched; a write will
/// return the error.
fn broken(socket: &Socket) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
    // A duplicate, because the runtime already watches the socket's own descriptor.
    let socket = socket.descriptor()?.try_clone_to_owned().ok()?;
    let socket = std::net::TcpStream::from(socket);
    let socket = TcpStream::from_std(socket).ok()?;
    Some(Box::pin(async move {
        let _ = socket.ready(Interest::ERROR).await;
    }))
}

//! The socket of a connection, and the kernel options that are set and read on it.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll},
};

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, recv, setsockopt, sockopt::TcpUserTimeout},
};
use pingora::protocols::{Stream, l4};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

#[cfg(any(test, feature = "simulation"))]
use super::simulated;
use super::{
    keep_alive::{VANISHED_AFTER, watch_host},
    unacknowledged,
};

/// A connected socket. Outside simulations there is only one kind, so the choice costs nothing.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    #[cfg(any(test, feature = "simulation"))]
    Simulated(simulated::Stream),
}

/// Runs the same expression for either kind.
macro_rules! either {
    ($socket:expr, $io:ident => $what:expr) => {
        match $socket {
            Self::Tcp($io) => $what,
            #[cfg(any(test, feature = "simulation"))]
            Self::Simulated($io) => $what,
        }
    };
}

impl Socket {
    /// Connects to `authority` (`host:port`).
    pub(crate) async fn connect(authority: &str) -> io::Result<Self> {
        #[cfg(any(test, feature = "simulation"))]
        if let Some(network) = simulated::network() {
            return Ok(Self::Simulated(network.connect(authority).await?));
        }
        let tcp = TcpStream::connect(authority).await?;
        tune(&tcp)?;
        Ok(Self::Tcp(tcp))
    }

    /// The socket that pingora has accepted as `stream`, without the layers that pingora puts around it:
    /// they would cost each read and write two looks at the clock, and each connection 0.7 KiB.
    ///
    /// # Errors
    /// If `stream` has no socket, or the process has too many open files.
    pub(crate) fn accepted(stream: Stream) -> io::Result<Self> {
        let tcp = (*stream).as_any().downcast_ref::<l4::stream::Stream>();
        let descriptor = tcp.map(AsRawFd::as_raw_fd);
        let descriptor = descriptor.filter(|descriptor| *descriptor >= 0);
        let descriptor = descriptor.ok_or(io::ErrorKind::Unsupported)?;
        // SAFETY: the descriptor is open for as long as `stream` is, which is dropped below.
        let socket = unsafe { BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned()?;
        // pingora's descriptor is closed; the socket stays open by the new one.
        drop(stream);
        Ok(Self::Tcp(TcpStream::from_std(socket.into())?))
    }

    /// Its descriptor; `None` in simulations.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Tcp(tcp) => Some(tcp.as_fd()),
            #[cfg(any(test, feature = "simulation"))]
            Self::Simulated(_) => None,
        }
    }

    /// The address of its other end, if it has one.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(tcp) => tcp.peer_addr().ok(),
            #[cfg(any(test, feature = "simulation"))]
            Self::Simulated(_) => None,
        }
    }

    /// Waits until there is something to read: bytes, or the end. In simulations, it does not wait.
    ///
    /// # Errors
    /// If the runtime ends.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.readable().await,
            #[cfg(any(test, feature = "simulation"))]
            Self::Simulated(_) => Ok(()),
        }
    }

    /// Whether there is something to read on a connection that should be silent: its end, or
    /// unexpected bytes, which make it unusable as well.
    pub(crate) fn has_more(&self) -> bool {
        match self {
            Self::Tcp(tcp) => {
                let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
                recv(tcp.as_raw_fd(), &mut [0], flags) != Err(Errno::EAGAIN)
            }
            #[cfg(any(test, feature = "simulation"))]
            Self::Simulated(stream) => stream.has_more(),
        }
    }

    /// See [`unacknowledged()`].
    pub(crate) fn unacknowledged(&self) -> Option<u64> {
        match self {
            Self::Tcp(tcp) => unacknowledged(tcp),
            #[cfg(any(test, feature = "simulation"))]
            Self::Simulated(stream) => Some(stream.unacknowledged()),
        }
    }
}

/// Turns off Nagle's algorithm, and makes a vanished host noticed: by keep-alive probes while idle,
/// and by `TCP_USER_TIMEOUT` while sent bytes are unacknowledged.
fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    watch_host(tcp)?;
    // In milliseconds.
    setsockopt(tcp, TcpUserTimeout, &(1000 * VANISHED_AFTER))?;
    Ok(())
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self.get_mut(), io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), io => Pin::new(io).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), io => Pin::new(io).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        either!(self, io => io.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), io => Pin::new(io).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn host_that_vanishes_is_noticed_within_half_a_minute() {
        use nix::sys::socket::{getsockopt, sockopt::KeepAlive};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let socket = Socket::connect(&authority).await.unwrap();
        let Socket::Tcp(tcp) = &socket else {
            panic!("there is no simulated network here");
        };
        assert!(getsockopt(tcp, KeepAlive).unwrap());
        assert_eq!(getsockopt(tcp, TcpUserTimeout).unwrap(), 30_000);
    }
}

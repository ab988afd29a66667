//! Limits how much of a response the kernel buffers unsent per downstream connection; by default
//! that is megabytes. A deep buffer delays small responses on the same HTTP/2 connection, defeats
//! fair sharing among bodies, and keeps the kernel busy at the expense of other callers.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl, sys::socket::setsockopt};
use pingora::protocols::{Stream, l4};

use crate::net::keep_alive::watch_host;

/// Bytes that may wait unsent, approximately. Bytes in flight are not limited by it.
const UNSENT: u32 = 128 * 1024;

sockopt_impl!(
    /// `TCP_NOTSENT_LOWAT`, in bytes: see `tcp(7)` and Linux's `ip-sysctl`.
    NotSentLowAt,
    Both,
    libc::IPPROTO_TCP,
    libc::TCP_NOTSENT_LOWAT,
    u32
);

/// Limits unsent bytes on a downstream connection, and turns on TCP keep-alive.
pub(super) fn bound(stream: &Stream) {
    let tcp = (**stream).as_any().downcast_ref::<l4::stream::Stream>();
    let Some(descriptor) = tcp.map(AsRawFd::as_raw_fd).filter(|fd| *fd >= 0) else {
        return;
    };
    // SAFETY: the descriptor is open for as long as `stream` is, which outlives this borrow.
    let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
    set(socket);
    if let Err(error) = watch_host(socket) {
        tracing::debug!(%error, "cannot turn on TCP keep-alive for a caller's connection");
    }
}

/// Best effort: a socket without the option works as well.
fn set(socket: impl AsFd) {
    if let Err(error) = setsockopt(&socket, NotSentLowAt, &UNSENT) {
        tracing::debug!(%error, "cannot set TCP_NOTSENT_LOWAT");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{getsockopt, sockopt};

    #[tokio::test]
    async fn callers_connections_are_bounded() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let caller = tokio::net::TcpStream::connect(listener.local_addr().unwrap());
        let (_caller, accepted) = tokio::join!(caller, listener.accept());
        let (accepted, _) = accepted.unwrap();
        let descriptor = accepted.as_raw_fd();
        let stream: Stream = Box::new(l4::stream::Stream::from(accepted));
        bound(&stream);
        // SAFETY: `stream` is open.
        let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
        assert_eq!(getsockopt(&socket, NotSentLowAt).unwrap(), UNSENT);
        assert!(getsockopt(&socket, sockopt::KeepAlive).unwrap());
    }
}

//! Limits how much of a response the kernel buffers unsent per downstream connection; by default
//! that is megabytes. A deep buffer delays small responses on the same HTTP/2 connection, defeats
//! fair sharing among bodies, and keeps the kernel busy at the expense of other callers.

use std::os::fd::AsFd;

use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl, sys::socket::setsockopt};

use crate::net::{Socket, keep_alive::watch_host};

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
pub(super) fn bound(socket: &Socket) {
    let Some(socket) = socket.descriptor() else {
        return;
    };
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
    use pingora::protocols::l4;

    #[tokio::test]
    async fn callers_connections_are_bounded() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let caller = tokio::net::TcpStream::connect(listener.local_addr().unwrap());
        let (_caller, accepted) = tokio::join!(caller, listener.accept());
        let (accepted, _) = accepted.unwrap();
        let accepted = Socket::accepted(Box::new(l4::stream::Stream::from(accepted))).unwrap();
        bound(&accepted);
        let socket = accepted.descriptor().unwrap();
        assert_eq!(getsockopt(&socket, NotSentLowAt).unwrap(), UNSENT);
        assert!(getsockopt(&socket, sockopt::KeepAlive).unwrap());
    }
}

//! Detects a peer that has vanished while the connection is silent.
//!
//! TCP keep-alive probes the peer's host, which answers even if its process is busy or stopped. An
//! HTTP/2 PING ([`Pinger`]) asks the peer itself, through any proxy in between.

use std::{
    cell::Cell,
    io,
    os::fd::AsFd,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use nix::sys::socket::{
    setsockopt,
    sockopt::{KeepAlive, TcpKeepCount, TcpKeepIdle, TcpKeepInterval},
};
use tokio::time::{Instant, Sleep, sleep};

/// TCP keep-alive: probe after 15 s idle, every 5 s, close after 3 misses.
const PROBE_AFTER: u32 = 15;
const PROBE_EVERY: u32 = 5;
const PROBES: u32 = 3;
/// Seconds after which a vanished host is noticed.
pub const VANISHED_AFTER: u32 = PROBE_AFTER + PROBES * PROBE_EVERY;

/// How long a caller's HTTP/2 connection with open streams may be silent before a PING is sent.
pub const CALLER_SILENCE: Duration = Duration::from_secs(30);
/// The same for a replica's connection. gRPC servers treat more than one PING in five minutes as
/// abuse (gRFC A8, `min_ping_interval_without_data`), and close the connection.
pub const REPLICA_SILENCE: Duration = Duration::from_secs(310);
/// How long the peer may take to answer a PING.
const ANSWER: Duration = Duration::from_secs(20);

/// Turns on TCP keep-alive, so that a vanished host is noticed.
///
/// # Errors
/// If the system refuses a socket option.
pub fn watch_host(tcp: impl AsFd) -> io::Result<()> {
    setsockopt(&tcp, KeepAlive, &true)?;
    setsockopt(&tcp, TcpKeepIdle, &PROBE_AFTER)?;
    setsockopt(&tcp, TcpKeepInterval, &PROBE_EVERY)?;
    setsockopt(&tcp, TcpKeepCount, &PROBES)?;
    Ok(())
}

/// Decides when a silent peer is sent an HTTP/2 PING (RFC 9113, 6.7), and when it is given up.
#[derive(Debug)]
pub struct Pinger {
    silence: Duration,
    /// Set by the connection's I/O when bytes arrive.
    received: Rc<Cell<bool>>,
    /// Whether a PING was sent and nothing has arrived since.
    asked: bool,
    timer: Pin<Box<Sleep>>,
}

/// What is due to a silent peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// A PING.
    Ask,
    /// It has not answered a PING in time: the connection is to be closed.
    GiveUp,
}

impl Pinger {
    /// Asks for a PING when `received` was not set for `silence`.
    #[must_use]
    pub fn new(silence: Duration, received: Rc<Cell<bool>>) -> Self {
        Self {
            silence,
            received,
            asked: false,
            timer: Box::pin(sleep(silence)),
        }
    }

    /// Ready with what is due. Poll it together with the connection, for as long as anything is
    /// expected of the peer.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Silence> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let is_heard = self.received.take();
            if self.asked && !is_heard {
                return Poll::Ready(Silence::GiveUp);
            }
            self.asked = !is_heard;
            let after = if is_heard { self.silence } else { ANSWER };
            self.timer.as_mut().reset(Instant::now() + after);
            if self.asked {
                // Polled again at once, because the timer has not been since.
                cx.waker().wake_by_ref();
                return Poll::Ready(Silence::Ask);
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::getsockopt;
    use std::future::poll_fn;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn host_that_vanishes_is_noticed_within_half_a_minute() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let caller = tokio::net::TcpStream::connect(listener.local_addr().unwrap());
        let (caller, _accepted) = tokio::join!(caller, listener.accept());
        let tcp = caller.unwrap();
        watch_host(&tcp).unwrap();
        assert!(getsockopt(&tcp, KeepAlive).unwrap());
        let probes = getsockopt(&tcp, TcpKeepCount).unwrap();
        let silence = getsockopt(&tcp, TcpKeepIdle).unwrap()
            + probes * getsockopt(&tcp, TcpKeepInterval).unwrap();
        assert_eq!((silence, VANISHED_AFTER), (30, 30));
    }

    /// How long a peer is waited for, which answers PINGs or does not.
    async fn waited_for(answers: bool) -> Option<Duration> {
        let received = Rc::new(Cell::new(true));
        let mut pinger = Pinger::new(CALLER_SILENCE, received.clone());
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3600) {
            match poll_fn(|cx| pinger.poll(cx)).await {
                Silence::Ask => received.set(answers),
                Silence::GiveUp => return Some(begun.elapsed()),
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_peer_that_answers_no_ping_is_given_up() {
        assert_eq!(waited_for(true).await, None);
        let waited = waited_for(false).await.unwrap();
        // What it has sent at first counts for the first check.
        assert!(
            (CALLER_SILENCE..=2 * CALLER_SILENCE + 2 * ANSWER).contains(&waited),
            "{waited:?}"
        );
    }
}

//! A simulated network, for tests and fuzzing: connections with delays and faults, on the runtime's clock.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    pin::Pin,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::keep_alive::VANISHED_AFTER;

/// Bytes in transit in one direction: the buffers of both sockets.
const CAPACITY: usize = 64 * 1024;

/// Opens connections.
pub trait Network {
    /// Connects to `authority` (`host:port`).
    fn connect(&self, authority: &str) -> Pin<Box<dyn Future<Output = io::Result<Stream>>>>;
}

thread_local! {
    static NETWORK: RefCell<Option<Rc<dyn Network>>> = const { RefCell::new(None) };
}

/// Makes this thread's connections to replicas use `network`.
pub fn enter(network: Rc<dyn Network>) {
    NETWORK.set(Some(network));
}

/// The network of this thread, if it is simulated.
pub fn network() -> Option<Rc<dyn Network>> {
    NETWORK.with_borrow(Clone::clone)
}

/// A fault of a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NetworkFault {
    /// It is reset.
    Reset,
    /// Bytes in this direction do not arrive for this time.
    Stall(Duration),
    /// The hosts cannot reach each other for this time. Both give up, as with TCP keep-alive,
    /// unless it ends earlier.
    Partition(Duration),
}

/// The latency and the faults of a connection.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The time from one end to the other.
    pub latency: Duration,
    /// For each direction: each fault, and after how many sent bytes it happens.
    pub faults: [VecDeque<(u64, NetworkFault)>; 2],
}

impl Plan {
    /// The longest total time of silence.
    pub fn silence(&self) -> Duration {
        let all = self.faults.iter().flatten();
        all.map(|(_, fault)| match fault {
            NetworkFault::Reset => Duration::ZERO,
            NetworkFault::Stall(time) | NetworkFault::Partition(time) => *time,
        })
        .sum()
    }
}

/// One direction of a connection.
#[derive(Debug)]
struct Way {
    /// The sent pieces, and when each arrives. An empty piece is the end.
    pieces: VecDeque<(Instant, Bytes)>,
    buffered: usize,
    written: u64,
    /// The number of bytes that were read.
    read: u64,
    is_ended: bool,
    /// Nothing arrives before this time.
    silent_until: Instant,
    faults: VecDeque<(u64, NetworkFault)>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Way {
    /// The number of bytes that have arrived at `now`.
    fn arrived(&self, now: Instant) -> u64 {
        let come = self.pieces.iter().filter(|(at, _)| *at <= now);
        let come: usize = match self.silent_until <= now {
            true => come.map(|(_, bytes)| bytes.len()).sum(),
            false => 0,
        };
        self.read + come as u64
    }

    fn wake(&mut self) {
        let both = [self.reader.take(), self.writer.take()];
        both.into_iter().flatten().for_each(Waker::wake);
    }
}

#[derive(Debug)]
struct State {
    /// The bytes sent by each end.
    ways: [Way; 2],
    latency: Duration,
    broken: Option<io::ErrorKind>,
    /// When the connection broke: how many bytes of each end were acknowledged.
    acknowledged: [u64; 2],
    is_dropped: [bool; 2],
    ended: Option<Instant>,
}

/// A connection, for observers and to break it.
#[derive(Debug)]
pub struct Link(Mutex<State>);

impl Link {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resets the connection.
    pub fn reset(&self) {
        self.lock().break_off(io::ErrorKind::ConnectionReset);
    }

    /// When it was broken, or when one end was closed.
    pub fn ended(&self) -> Option<Instant> {
        self.lock().ended
    }

    /// Whether this end is still open.
    pub fn is_held_by(&self, end: usize) -> bool {
        !self.lock().is_dropped[end]
    }
}

impl State {
    fn break_off(&mut self, why: io::ErrorKind) {
        if self.broken.is_some() {
            return;
        }
        let now = Instant::now();
        self.broken = Some(why);
        self.ended.get_or_insert(now);
        for (acknowledged, way) in self.acknowledged.iter_mut().zip(&mut self.ways) {
            *acknowledged = way.arrived(now);
            way.wake();
        }
    }

    fn apply(&mut self, end: usize, fault: NetworkFault, link: &Arc<Link>) {
        let until = |time| Instant::now() + time;
        match fault {
            NetworkFault::Reset => self.break_off(io::ErrorKind::ConnectionReset),
            NetworkFault::Stall(time) => self.ways[end].silent_until = until(time),
            NetworkFault::Partition(time) => {
                for way in &mut self.ways {
                    way.silent_until = way.silent_until.max(until(time));
                }
                let given_up = Duration::from_secs(VANISHED_AFTER.into());
                if time >= given_up {
                    let link = link.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(given_up).await;
                        link.lock().break_off(io::ErrorKind::TimedOut);
                    });
                }
            }
        }
    }
}

/// One end of a connection.
#[derive(Debug)]
pub struct Stream {
    link: Arc<Link>,
    end: usize,
    arrival: Option<Pin<Box<Sleep>>>,
}

/// A new connection: its two ends, and a handle. The faults of the first direction apply to what
/// the first end sends.
pub fn connection(plan: Plan) -> (Stream, Stream, Arc<Link>) {
    let now = Instant::now();
    let ways = plan.faults.map(|faults| Way {
        pieces: VecDeque::new(),
        buffered: 0,
        written: 0,
        read: 0,
        is_ended: false,
        silent_until: now,
        faults,
        reader: None,
        writer: None,
    });
    let link = Arc::new(Link(Mutex::new(State {
        ways,
        latency: plan.latency,
        broken: None,
        acknowledged: [0; 2],
        is_dropped: [false; 2],
        ended: None,
    })));
    let end = |end| Stream {
        link: link.clone(),
        end,
        arrival: None,
    };
    (end(0), end(1), link.clone())
}

impl Stream {
    /// Closes the sending side.
    fn end(&self) {
        self.link.lock().end(self.end);
    }

    /// Whether a read would return at once.
    pub fn has_more(&self) -> bool {
        let state = self.link.lock();
        let way = &state.ways[1 - self.end];
        let first = way.pieces.front();
        state.broken.is_some()
            || first.is_some_and(|(at, _)| (*at).max(way.silent_until) <= Instant::now())
    }

    /// Written bytes that the other end's host has not acknowledged.
    pub fn unacknowledged(&self) -> u64 {
        let state = self.link.lock();
        let way = &state.ways[self.end];
        let acknowledged = match state.broken {
            Some(_) => state.acknowledged[self.end],
            None => way.arrived(Instant::now()),
        };
        way.written - acknowledged
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut state = self.link.lock();
        state.is_dropped[self.end] = true;
        state.ended.get_or_insert(Instant::now());
        // As in TCP, unread bytes are answered with a reset; otherwise the end arrives in order.
        let is_unread = |(_, bytes): &(Instant, Bytes)| !bytes.is_empty();
        match state.ways[1 - self.end].pieces.iter().any(is_unread) {
            true => state.break_off(io::ErrorKind::ConnectionReset),
            false => {
                state.end(self.end);
                if let Some(writer) = state.ways[1 - self.end].writer.take() {
                    writer.wake();
                }
            }
        }
    }
}

impl State {
    /// Closes the sending side of `end`.
    fn end(&mut self, end: usize) {
        let at = Instant::now() + self.latency;
        let way = &mut self.ways[end];
        if !std::mem::replace(&mut way.is_ended, true) {
            way.pieces.push_back((at, Bytes::new()));
            way.wake();
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { link, end, arrival } = self.get_mut();
        let mut state = link.lock();
        if let Some(why) = state.broken {
            return Poll::Ready(Err(why.into()));
        }
        let way = &mut state.ways[1 - *end];
        way.reader = Some(cx.waker().clone());
        let Some((at, _)) = way.pieces.front() else {
            return Poll::Pending;
        };
        let at = (*at).max(way.silent_until);
        if at > Instant::now() {
            let arrival = arrival.get_or_insert_with(|| Box::pin(sleep_until(at)));
            arrival.as_mut().reset(at);
            if arrival.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        while let Some((at, bytes)) = way.pieces.front_mut() {
            if bytes.is_empty() || *at > Instant::now() || buf.remaining() == 0 {
                break;
            }
            let length = bytes.len().min(buf.remaining());
            buf.put_slice(&bytes[..length]);
            bytes.advance(length);
            way.buffered -= length;
            way.read += length as u64;
            if bytes.is_empty() {
                way.pieces.pop_front();
            }
        }
        if let Some(writer) = way.writer.take() {
            writer.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { link, end, .. } = self.get_mut();
        let mut state = link.lock();
        while let Some((at, fault)) = state.ways[*end].faults.front().copied()
            && at <= state.ways[*end].written
        {
            state.ways[*end].faults.pop_front();
            state.apply(*end, fault, link);
        }
        if let Some(why) = state.broken {
            return Poll::Ready(Err(why.into()));
        }
        if state.ways[*end].is_ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if state.is_dropped[1 - *end] {
            // These bytes are answered with a reset.
            state.ways[*end].written += bytes.len() as u64;
            state.break_off(io::ErrorKind::ConnectionReset);
            return Poll::Ready(Ok(bytes.len()));
        }
        let at = Instant::now() + state.latency;
        let way = &mut state.ways[*end];
        let free = CAPACITY - way.buffered;
        if free == 0 && !bytes.is_empty() {
            way.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let before_fault = way
            .faults
            .front()
            .map_or(u64::MAX, |(at, _)| at - way.written);
        let before_fault = usize::try_from(before_fault).unwrap_or(usize::MAX);
        let length = bytes.len().min(free).min(before_fault);
        if length > 0 {
            way.pieces
                .push_back((at, Bytes::copy_from_slice(&bytes[..length])));
            way.buffered += length;
            way.written += length as u64;
            if let Some(reader) = way.reader.take() {
                reader.wake();
            }
        }
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().end();
        Poll::Ready(Ok(()))
    }
}

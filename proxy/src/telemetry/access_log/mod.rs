//! The access log: a line for each finished request of a model, as
//! `tailback simulate` reads it.
//!
//! Off, it costs a branch. On, a request's [`Entry`] is filled on its way and,
//! when the request has ended, goes through a bounded queue to the one thread
//! that writes. Nothing waits for that thread: what does not fit into
//! the queue is dropped and counted. The thread looks into the queue at
//! intervals rather than being woken, so that the data plane makes no system
//! call and takes no lock for it.

mod line;
mod writer;

use std::{
    io,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{self, SyncSender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use metrics::{Counter, counter};
use smallvec::SmallVec;
use tailback_config::AccessLog as Target;
use tailback_scaler::{clock::Nanos, replica::Replica};

use self::writer::{Destination, Writer};
use crate::status::{Outcome, ResponseStatus};

/// Entries that wait to be written, at most.
const QUEUE: usize = 64 * 1024;
/// How long the end waits for the last lines to be written.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that are kept of a path.
const LONGEST_PATH: usize = 1024;

/// Most names and paths fit in place.
type Text = SmallVec<[u8; 48]>;

/// Where requests are logged. It lives as long as the process.
#[derive(Clone, Copy, Debug)]
pub struct AccessLog(&'static Shared);

#[derive(Debug)]
struct Shared {
    queue: SyncSender<Box<Entry>>,
    dropped: Counter,
    reopen: AtomicBool,
    closing: AtomicBool,
}

/// The log and the thread that writes it.
#[derive(Debug)]
pub struct Running {
    log: AccessLog,
    thread: JoinHandle<()>,
}

/// What is known of a request.
#[derive(Debug)]
pub struct Entry {
    log: AccessLog,
    /// As the caller sent it, without the query.
    path: Text,
    model: Text,
    arrived: Nanos,
    /// The replica that had it last, and since when.
    given: Option<(Text, Nanos)>,
    /// How often it was sent again.
    retries: u32,
    /// Bytes of the answer's body.
    bytes_out: u64,
    end: Option<End>,
}

#[derive(Debug)]
struct End {
    at: Nanos,
    outcome: Outcome,
    status: ResponseStatus,
}

// === impl Running ===

impl Running {
    /// Opens `target` and starts to write what is logged.
    ///
    /// # Errors
    /// If it cannot be written to.
    pub fn start(target: &Target) -> io::Result<Self> {
        Self::with(Destination::open(target)?, QUEUE)
    }

    fn with(destination: Destination, room: usize) -> io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel(room);
        let dropped = counter!("tailback_access_log_dropped_total");
        let shared = Box::leak(Box::new(Shared {
            queue: sender,
            dropped: dropped.clone(),
            reopen: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        }));
        let log = AccessLog(shared);
        let writer = Writer::new(destination, dropped);
        let thread = thread::Builder::new()
            .name("access-log".into())
            .spawn(move || writer.run(&receiver, &log.0.reopen, &log.0.closing))?;
        Ok(Self { log, thread })
    }

    /// Where to log.
    #[must_use]
    pub fn log(&self) -> AccessLog {
        self.log
    }

    /// Opens the file anew: somebody has moved it away.
    pub fn reopen(&self) {
        self.log.0.reopen.store(true, Ordering::Release);
    }

    /// Writes what has been logged so far and ends. Whatever it is written to
    /// may be stuck: that is not waited for longer than a moment.
    pub fn close(self) {
        self.log.0.closing.store(true, Ordering::Release);
        let start = Instant::now();
        while !self.thread.is_finished() && start.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

// === impl Entry ===

impl Entry {
    /// Of a request to `path`.
    #[must_use]
    pub fn new(log: AccessLog, path: &str) -> Box<Self> {
        let path = &path.as_bytes()[..path.len().min(LONGEST_PATH)];
        Box::new(Self {
            log,
            path: path.into(),
            model: Text::new(),
            arrived: Nanos(0),
            given: None,
            retries: 0,
            bytes_out: 0,
            end: None,
        })
    }

    /// It has arrived for `model`.
    pub fn arrive(&mut self, model: &str, now: Nanos) {
        self.model = model.as_bytes().into();
        self.arrived = now;
    }

    /// It goes to `replica`.
    pub fn give(&mut self, replica: &Replica, now: Nanos) {
        let mut text = Text::new();
        // As it is in the log and on the admin pages.
        for part in [replica.name(), " (", replica.authority(), ")"] {
            text.extend_from_slice(part.as_bytes());
        }
        self.given = Some((text, now));
    }

    /// It is sent again.
    pub fn retry(&mut self) {
        self.retries += 1;
    }

    /// More of the answer's body is on its way.
    pub fn sent(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
    }

    /// It has ended: to be written.
    pub fn finish(mut self: Box<Self>, at: Nanos, outcome: Outcome, status: ResponseStatus) {
        self.end = Some(End {
            at,
            outcome,
            status,
        });
        let log = self.log.0;
        if log.queue.try_send(self).is_err() {
            log.dropped.increment(1);
        }
    }
}

#[cfg(test)]
mod tests;

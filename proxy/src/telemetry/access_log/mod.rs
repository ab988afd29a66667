//! The access log: a line for each finished request of a model, in the format that `tailback
//! simulate` reads.
//!
//! When the log is off, it costs one branch per request. When it is on, a request fills its
//! [`AccessLogEntry`] on its way and sends it, when the request has ended, through a
//! [queue](super::polled_queue) to the one thread that writes.

mod line;
mod writer;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use metrics::counter;
use smallvec::SmallVec;
use tailback_config::AccessLog as Target;
use tailback_scaler::{clock::Nanos, replica::Replica};

use self::writer::{Destination, Writer};
use super::polled_queue::{PolledQueue, QueueSender, queue};
use crate::status::{Generation, Outcome, ResponseStatus};

/// Most entries waiting to be written.
const QUEUE: usize = 64 * 1024;
/// How long shutdown waits for the last lines to be written.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes kept of a path.
const LONGEST_PATH: usize = 1024;

/// Inline capacity that fits most names and paths without an allocation.
type Text = SmallVec<[u8; 48]>;

/// The handle that requests log through.
#[derive(Clone, Copy, Debug)]
pub struct AccessLog(QueueSender<AccessLogEntry>);

/// The open access log with its writer thread.
#[derive(Debug)]
pub struct RunningAccessLog {
    entries: PolledQueue<AccessLogEntry>,
    reopen: Arc<AtomicBool>,
}

/// What the access log records of one request.
#[derive(Debug)]
pub struct AccessLogEntry {
    log: AccessLog,
    /// As the caller sent it, without the query.
    path: Text,
    model: Text,
    /// The name of its API key; empty: there are none.
    key: Text,
    arrived: Nanos,
    /// The last replica it was sent to, and when.
    given: Option<(Text, Nanos)>,
    /// How many times it was retried.
    retries: u32,
    /// Bytes of the response body.
    bytes_out: u64,
    /// What a language model's response revealed about tokens.
    generation: Option<Generation>,
    end: Option<End>,
}

#[derive(Debug)]
struct End {
    at: Nanos,
    outcome: Outcome,
    status: ResponseStatus,
}

// === impl RunningAccessLog ===

impl RunningAccessLog {
    /// Opens `target` and starts to write what is logged.
    ///
    /// # Errors
    /// If `target` cannot be opened for writing.
    pub fn start(target: &Target) -> io::Result<Self> {
        let dropped = counter!("tailback_access_log_dropped_total");
        let reopen = Arc::new(AtomicBool::new(false));
        let destination = Destination::open(target)?;
        let writer = Writer::new(destination, reopen.clone(), dropped.clone());
        let entries = PolledQueue::start(writer, queue(QUEUE, dropped))?;
        Ok(Self { entries, reopen })
    }

    /// The handle to log through.
    #[must_use]
    pub fn log(&self) -> AccessLog {
        AccessLog(self.entries.sender())
    }

    /// Makes the writer open the file again by its path, after log rotation has moved it away.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
    }

    /// Writes what has been logged so far, then ends. Waits at most `PATIENCE`, because the file
    /// or pipe may be stuck.
    pub fn close(self) {
        self.entries.close(PATIENCE);
    }
}

// === impl Entry ===

impl AccessLogEntry {
    /// An entry for a request to `path`, without its query.
    #[must_use]
    pub fn new(log: AccessLog, path: &str) -> Box<Self> {
        let path = &path.as_bytes()[..path.len().min(LONGEST_PATH)];
        Box::new(Self {
            log,
            path: path.into(),
            model: Text::new(),
            key: Text::new(),
            arrived: Nanos(0),
            given: None,
            retries: 0,
            bytes_out: 0,
            generation: None,
            end: None,
        })
    }

    /// The request was routed to `model` and counted as arrived at `now`.
    pub fn arrive(&mut self, model: &str, now: Nanos) {
        self.model = model.as_bytes().into();
        self.arrived = now;
    }

    /// The request has the API key of this name.
    pub fn authenticated(&mut self, key: &str) {
        self.key = key.as_bytes().into();
    }

    /// The request is sent to `replica`.
    pub fn give(&mut self, replica: &Replica, now: Nanos) {
        let mut text = Text::new();
        // The format that the log and the admin pages use for a replica.
        for part in [replica.name(), " (", replica.authority(), ")"] {
            text.extend_from_slice(part.as_bytes());
        }
        self.given = Some((text, now));
    }

    /// The request is retried.
    pub fn retry(&mut self) {
        self.retries += 1;
    }

    /// `bytes` more of the response body were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
    }

    /// The response was a language model's, with this result.
    pub fn generated(&mut self, generation: Generation) {
        self.generation = Some(generation);
    }

    /// The request has ended: queues the entry for the writer.
    pub fn finish(mut self: Box<Self>, at: Nanos, outcome: Outcome, status: ResponseStatus) {
        self.end = Some(End {
            at,
            outcome,
            status,
        });
        self.log.0.send(self);
    }
}

#[cfg(test)]
mod tests;

//! What the replicas that run as processes of this host have printed last. The process
//! orchestrator writes it, and the admin address reads it. No request touches it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Most lines that are kept of a replica.
pub const LINES: usize = 1_000;
/// Most bytes that the kept lines of a replica have.
pub const BYTES: usize = 256 * 1024;
/// Most replicas of a model that have ended and whose lines are kept.
const ENDED_OF_MODEL: usize = 5;
/// The same of all models together, those that are no longer served included.
const ENDED: usize = 100;

/// Most bytes of a model's lines that go to another process. As JSON they take up to six times as
/// many.
const PASSED_ON: usize = 8 * 1024 * 1024;
/// Bytes that a line takes beside its text.
const OVERHEAD: usize = 100;

/// Which output a line was printed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line that a replica has printed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its place among all lines of all replicas of this host: later lines have larger numbers.
    pub number: u64,
    /// When it was read, in seconds since 1970.
    pub time: f64,
    /// Which output it was printed to.
    pub stream: OutputStream,
    /// The line without its end. Bytes that are no UTF-8 are replaced by U+FFFD.
    pub text: String,
}

/// A line, and the replica that has printed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaLine {
    /// The replica's name.
    pub replica: String,
    /// The line.
    #[serde(flatten)]
    pub line: LogLine,
}

/// The last lines of a replica.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReplicaLog {
    replica: String,
    /// Oldest first.
    lines: VecDeque<LogLine>,
    /// Since which line's number the replica has ended; `None`: it runs.
    ended: Option<u64>,
    /// The bytes of `lines`.
    bytes: usize,
}

/// Which lines are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogQuery<'a> {
    /// Those of one replica; `None`: of all replicas of the model.
    pub replica: Option<&'a str>,
    /// Those with larger numbers.
    pub after: u64,
    /// No more than so many, the last ones; `None`: all that are kept.
    pub tail: Option<usize>,
}

/// The lines of all replicas of this host. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct ReplicaLogs(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    content: Mutex<Content>,
    /// The number of the last line.
    last: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Content {
    last: u64,
    /// By model. None of them is empty.
    models: BTreeMap<String, Vec<ReplicaLog>>,
}

/// Writes the lines of one replica. Clones share it.
#[derive(Clone, Debug)]
pub struct LogWriter {
    logs: ReplicaLogs,
    model: String,
    replica: String,
}

// === impl ReplicaLogs ===

impl ReplicaLogs {
    fn content(&self) -> MutexGuard<'_, Content> {
        // Plain data: consistent even if a writer panicked.
        self.0.content.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// A writer for `replica` of `model`, which goes on with what is there of it if it runs.
    #[must_use]
    pub fn writer(&self, model: &str, replica: &str) -> LogWriter {
        let content = &mut *self.content();
        let logs = content.models.entry(model.to_owned()).or_default();
        // A model that was removed and is back begins to count its replicas anew.
        logs.retain(|log| log.replica != replica || log.ended.is_none());
        if !logs.iter().any(|log| log.replica == replica) {
            logs.push(ReplicaLog {
                replica: replica.to_owned(),
                ..ReplicaLog::default()
            });
        }
        LogWriter {
            logs: self.clone(),
            model: model.to_owned(),
            replica: replica.to_owned(),
        }
    }

    /// Whether anything is kept of replicas of `model`.
    #[must_use]
    pub fn has(&self, model: &str) -> bool {
        self.content().models.contains_key(model)
    }

    /// The names of the replicas of `model` of which lines are kept, oldest first.
    #[must_use]
    pub fn replicas(&self, model: &str) -> Vec<String> {
        let content = self.content();
        let logs = content.models.get(model).into_iter().flatten();
        logs.map(|log| log.replica.clone()).collect()
    }

    /// Lines of replicas of `model`, oldest first.
    #[must_use]
    pub fn lines(&self, model: &str, query: LogQuery<'_>) -> Vec<ReplicaLine> {
        let content = self.content();
        let logs = content.models.get(model).into_iter().flatten();
        let logs = logs.filter(|log| query.replica.is_none_or(|replica| log.replica == replica));
        let mut lines: Vec<_> = logs.flat_map(|log| log.since(query.after)).collect();
        lines.sort_unstable_by_key(|(_, line)| line.number);
        let skip = query
            .tail
            .map_or(0, |tail| lines.len().saturating_sub(tail));
        let own = |(replica, line): &(&str, &LogLine)| ReplicaLine {
            replica: (*replica).to_owned(),
            line: (*line).clone(),
        };
        lines[skip..].iter().map(own).collect()
    }

    /// The number of the last line, of whichever replica; it changes with each line.
    #[must_use]
    pub fn last(&self) -> watch::Receiver<u64> {
        self.0.last.subscribe()
    }

    /// What is kept of `model`, to be [put back](Self::restore) in another process: of many
    /// replicas only the last lines, so that all fit into one message.
    #[must_use]
    pub fn of_model(&self, model: &str) -> Vec<ReplicaLog> {
        let mut logs = self
            .content()
            .models
            .get(model)
            .cloned()
            .unwrap_or_default();
        let each = PASSED_ON / logs.len().max(1);
        for log in &mut logs {
            log.trim(each);
        }
        logs
    }

    /// Puts back what another process has kept. Further lines get larger numbers.
    pub fn restore(&self, model: &str, logs: Vec<ReplicaLog>) {
        if logs.is_empty() {
            return;
        }
        let content = &mut *self.content();
        let ended = logs.iter().filter_map(|log| log.ended);
        let numbers = logs.iter().filter_map(|log| log.lines.back());
        let last = numbers.map(|line| line.number).chain(ended).max();
        content.last = content.last.max(last.unwrap_or_default());
        content.models.insert(model.to_owned(), logs);
        self.0.last.send_replace(content.last);
    }
}

// === impl ReplicaLog ===

impl ReplicaLog {
    /// Lines with larger numbers than `after`, each with the replica's name.
    fn since(&self, after: u64) -> impl Iterator<Item = (&str, &LogLine)> {
        let first = self.lines.partition_point(|line| line.number <= after);
        let lines = self.lines.iter().skip(first);
        lines.map(|line| (self.replica.as_str(), line))
    }

    /// Keeps the last lines that take no more than so many bytes as a message.
    fn trim(&mut self, bytes: usize) {
        while self.bytes + self.lines.len() * OVERHEAD > bytes {
            let Some(gone) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= gone.text.len();
        }
    }

    fn push(&mut self, line: LogLine) {
        self.bytes += line.text.len();
        self.lines.push_back(line);
        while self.lines.len() > LINES || self.bytes > BYTES {
            let Some(gone) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= gone.text.len();
        }
    }
}

// === impl Content ===

impl Content {
    fn log(&mut self, model: &str, replica: &str) -> Option<&mut ReplicaLog> {
        let logs = self.models.get_mut(model)?;
        logs.iter_mut().find(|log| log.replica == replica)
    }

    /// Lets go what is too much of replicas that have ended: those that ended first.
    fn prune(&mut self, model: &str) {
        let of_model = self.models.get(model).into_iter().flatten();
        let mut ends: Vec<_> = of_model.filter_map(|log| log.ended).collect();
        ends.sort_unstable();
        let too_many = ends.len().saturating_sub(ENDED_OF_MODEL);
        let from = ends.get(too_many).copied().unwrap_or(0);
        if let Some(logs) = self.models.get_mut(model) {
            logs.retain(|log| log.ended.is_none_or(|end| end >= from));
        }
        let all = self.models.values().flatten();
        let mut ends: Vec<_> = all.filter_map(|log| log.ended).collect();
        ends.sort_unstable();
        let too_many = ends.len().saturating_sub(ENDED);
        let from = ends.get(too_many).copied().unwrap_or(0);
        for logs in self.models.values_mut() {
            logs.retain(|log| log.ended.is_none_or(|end| end >= from));
        }
        self.models.retain(|_, logs| !logs.is_empty());
    }
}

// === impl LogWriter ===

impl LogWriter {
    /// Adds a line.
    pub fn push(&self, stream: OutputStream, text: &str) {
        let content = &mut *self.logs.content();
        let number = content.last + 1;
        let line = LogLine {
            number,
            time: now(),
            stream,
            text: text.to_owned(),
        };
        if let Some(log) = content.log(&self.model, &self.replica) {
            log.push(line);
            content.last = number;
            self.logs.0.last.send_replace(number);
        }
    }

    /// The replica has ended. Its lines are kept for a while.
    pub fn end(&self) {
        let content = &mut *self.logs.content();
        // A number of its own, so that ends have an order.
        content.last += 1;
        let last = content.last;
        if let Some(log) = content.log(&self.model, &self.replica) {
            log.ended = Some(last);
        }
        content.prune(&self.model);
    }
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests;

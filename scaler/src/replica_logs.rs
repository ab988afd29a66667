//! The last lines that process replicas of this host have printed. The process orchestrator writes
//! them, and the admin address reads them. No request touches them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Most lines kept of one replica.
pub const LINES: usize = 1_000;
/// Most bytes kept of one replica's lines.
pub const BYTES: usize = 256 * 1024;
/// Most ended replicas of a model whose lines are kept.
const ENDED_OF_MODEL: usize = 5;
/// Most ended replicas whose lines are kept over all models, including those no longer served.
const ENDED: usize = 100;

/// Most bytes of a model's lines that are handed over at an upgrade. As JSON they take up to six
/// times as many.
const PASSED_ON: usize = 8 * 1024 * 1024;
/// Bytes that a line takes besides its text.
const OVERHEAD: usize = 100;

/// The output that a line was printed to.
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
    /// Its number among all lines of all replicas of this host: later lines have larger numbers.
    pub number: u64,
    /// When it was read, in seconds since 1970 (UTC).
    pub time: f64,
    /// Which output it was printed to.
    pub stream: OutputStream,
    /// The line without its line break. Bytes that are not UTF-8 are replaced by U+FFFD.
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
    /// The number of the replica's end; `None`: it runs.
    ended: Option<u64>,
    /// The bytes of `lines`.
    bytes: usize,
}

/// A selection of lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogQuery<'a> {
    /// Of this replica; `None`: of all replicas of the model.
    pub replica: Option<&'a str>,
    /// With larger numbers than this.
    pub after: u64,
    /// At most this many, the latest ones; `None`: all that are kept.
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
    /// By model. No list is empty.
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

    /// A writer for `replica` of `model`. If the replica runs already, its kept lines are
    /// continued.
    #[must_use]
    pub fn writer(&self, model: &str, replica: &str) -> LogWriter {
        let content = &mut *self.content();
        let logs = content.models.entry(model.to_owned()).or_default();
        // A model that was removed and added again numbers its replicas from the beginning.
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

    /// Whether any lines are kept of replicas of `model`.
    #[must_use]
    pub fn has(&self, model: &str) -> bool {
        self.content().models.contains_key(model)
    }

    /// The names of the replicas of `model` whose lines are kept, oldest first.
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

    /// The number of the last line of any replica. It changes with each line.
    #[must_use]
    pub fn last(&self) -> watch::Receiver<u64> {
        self.0.last.subscribe()
    }

    /// The kept lines of `model`, to be [restored](Self::restore) in another process: only the
    /// latest ones of each replica if there are many replicas, so that all fit into one message.
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

    /// Adds lines that another process has kept. Further lines get larger numbers.
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

    /// Keeps the latest lines that take no more than this many bytes in a message.
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

    /// Drops lines of ended replicas beyond the limits, those that ended first.
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
        // The end has a number of its own, so that ends are ordered.
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

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

    /// What is kept of `model`, to be [put back](Self::restore) in another process.
    #[must_use]
    pub fn of_model(&self, model: &str) -> Vec<ReplicaLog> {
        let content = self.content();
        content.models.get(model).cloned().unwrap_or_default()
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
mod tests {
    use super::*;

    fn texts(logs: &ReplicaLogs, model: &str, query: LogQuery<'_>) -> Vec<String> {
        let lines = logs.lines(model, query);
        lines
            .iter()
            .map(|line| format!("{} {}", line.replica, line.line.text))
            .collect()
    }

    #[test]
    fn lines_of_several_replicas_come_in_the_order_in_which_they_were_printed() {
        let logs = ReplicaLogs::default();
        let (a, b) = (logs.writer("m", "m-0"), logs.writer("m", "m-1"));
        let other = logs.writer("n", "n-0");
        a.push(OutputStream::Stdout, "one");
        b.push(OutputStream::Stderr, "two");
        other.push(OutputStream::Stdout, "of another model");
        a.push(OutputStream::Stdout, "three");
        let all = texts(&logs, "m", LogQuery::default());
        assert_eq!(all, ["m-0 one", "m-1 two", "m-0 three"]);
        let query = LogQuery {
            tail: Some(2),
            ..LogQuery::default()
        };
        assert_eq!(texts(&logs, "m", query), all[1..]);
        let query = LogQuery {
            replica: Some("m-0"),
            after: 1,
            tail: None,
        };
        assert_eq!(texts(&logs, "m", query), all[2..]);
        assert_eq!(*logs.last().borrow(), 4);
        assert!(!logs.has("x") && logs.lines("x", LogQuery::default()).is_empty());
    }

    #[test]
    fn what_is_kept_of_a_replica_is_bounded_in_lines_and_bytes() {
        let logs = ReplicaLogs::default();
        let writer = logs.writer("m", "m-0");
        for number in 0..LINES + 5 {
            writer.push(OutputStream::Stdout, &number.to_string());
        }
        let lines = logs.lines("m", LogQuery::default());
        assert_eq!((lines.len(), &*lines[0].line.text), (LINES, "5"));
        for _ in 0..100 {
            writer.push(OutputStream::Stdout, &"x".repeat(8 * 1024));
        }
        let lines = logs.lines("m", LogQuery::default());
        assert_eq!(lines.len(), BYTES / (8 * 1024));
    }

    #[test]
    fn the_last_replicas_that_ended_are_kept_and_those_that_run_always() {
        let logs = ReplicaLogs::default();
        let runs = logs.writer("m", "runs");
        for number in 0..10 {
            let writer = logs.writer("m", &format!("m-{number}"));
            writer.push(OutputStream::Stderr, "no memory");
            writer.end();
        }
        let expected = ["runs", "m-5", "m-6", "m-7", "m-8", "m-9"];
        assert_eq!(logs.replicas("m"), expected);
        for model in 0..ENDED {
            logs.writer(&format!("n{model}"), "n-0").end();
        }
        assert_eq!(logs.replicas("m"), ["runs"]);
        assert!(logs.has("n0"));
        runs.end();
        assert!(logs.has("m") && !logs.has("n0"));
    }

    #[test]
    fn what_one_process_has_kept_goes_on_in_the_next() {
        let before = ReplicaLogs::default();
        before.writer("m", "m-0").end();
        let writer = before.writer("m", "m-1");
        writer.push(OutputStream::Stdout, "before");
        let passed = serde_json::to_string(&before.of_model("m")).unwrap();
        let after = ReplicaLogs::default();
        after.restore("m", serde_json::from_str(&passed).unwrap());
        after.writer("m", "m-1").push(OutputStream::Stdout, "after");
        assert_eq!(after.replicas("m"), ["m-0", "m-1"]);
        let lines = after.lines("m", LogQuery::default());
        let numbers: Vec<_> = lines.iter().map(|line| line.line.number).collect();
        assert_eq!(numbers, [2, 3]);
        // A name that is given again is another replica.
        assert_eq!(after.writer("m", "m-0").replica, "m-0");
        assert_eq!(after.replicas("m"), ["m-1", "m-0"]);
    }
}

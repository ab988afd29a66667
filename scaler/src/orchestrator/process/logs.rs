//! A replica's output: each line goes to the log, prefixed with the replica's name. The last lines
//! are kept, for display and to explain why the replica ended.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex},
};

use regex::Regex;
use tailback_config::Readiness;
use tokio::{
    net::unix::pipe,
    sync::{oneshot, watch},
    task::{JoinHandle, yield_now},
};

use crate::replica_logs::{LogWriter, OutputStream};

/// Longer lines are cut into several.
const LONGEST_LINE: usize = 8 * 1024;
const KEPT_LINES: usize = 5;

/// Receives the lines that a replica prints. Clones share the state.
#[derive(Clone, Debug)]
pub(super) struct Sink(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    log: LogWriter,
    /// The last lines of its standard error.
    errors: Mutex<VecDeque<String>>,
    /// The pattern of a line that says that the replica is ready; `None`: no line does.
    pattern: Option<Regex>,
    /// Whether a matching line was printed.
    seen: watch::Sender<bool>,
}

impl Sink {
    /// Forwards lines to `log`. If `ready` is a line pattern, lines are compared with it.
    pub(super) fn new(log: LogWriter, ready: Option<&Readiness>) -> Self {
        let pattern = match ready {
            Some(Readiness::Line(pattern)) => pattern.compile().ok(),
            _ => None,
        };
        Self(Arc::new(Shared {
            log,
            errors: Mutex::default(),
            pattern,
            seen: watch::Sender::default(),
        }))
    }

    fn push(&self, stream: OutputStream, line: &str) {
        self.0.log.push(stream, line);
        if stream == OutputStream::Stderr {
            let mut errors = self.0.errors.lock().unwrap_or_else(|e| e.into_inner());
            if errors.len() == KEPT_LINES {
                errors.pop_front();
            }
            errors.push_back(line.to_owned());
        }
        if let Some(pattern) = &self.0.pattern
            && !*self.0.seen.borrow()
            && pattern.is_match(line)
        {
            self.0.seen.send_replace(true);
        }
    }

    /// Waits until a line was printed that matches the readiness pattern.
    pub(super) async fn fitting_line(&self) {
        // Cannot fail: this holds the sender.
        let _ = self.0.seen.subscribe().wait_for(|seen| *seen).await;
    }

    /// The last lines of standard error, joined to one line for an error message; `None` if there
    /// are none.
    pub(super) fn last_errors(&self) -> Option<String> {
        let errors = self.0.errors.lock().unwrap_or_else(|e| e.into_inner());
        let all = errors.iter().map(String::as_str).collect::<Vec<_>>();
        (!all.is_empty()).then(|| all.join(" | "))
    }
}

/// One of a replica's outputs, forwarded to the log until it ends.
#[derive(Debug)]
pub(super) struct Output {
    pipe: Arc<pipe::Receiver>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Vec<u8>>,
}

/// An output that nobody reads, and the beginning of a line whose end was not read yet.
#[derive(Debug)]
pub(super) struct PausedOutput {
    pub pipe: OwnedFd,
    pub begun: Vec<u8>,
}

impl From<OwnedFd> for PausedOutput {
    fn from(pipe: OwnedFd) -> Self {
        let begun = Vec::new();
        Self { pipe, begun }
    }
}

impl Output {
    /// Reads the lines of `stream` of the replica `name` from `output`, and sends them to the log and
    /// to `sink`.
    pub(super) fn follow(
        name: String,
        output: PausedOutput,
        stream: OutputStream,
        sink: Sink,
    ) -> io::Result<Self> {
        let PausedOutput { pipe, begun } = output;
        let pipe = Arc::new(pipe::Receiver::from_owned_fd(pipe)?);
        let (stop, stopped) = oneshot::channel();
        let forward = forward(name, pipe.clone(), begun, stream, sink, stopped);
        let task = tokio::spawn(forward);
        Ok(Self { pipe, stop, task })
    }

    /// Waits until the output has ended and was logged.
    pub(super) async fn ended(&mut self) {
        if !self.task.is_finished() {
            let _ = (&mut self.task).await;
        }
    }

    /// Stops reading, so that another process can read on. Complete lines are logged.
    pub(super) async fn release(self) -> io::Result<PausedOutput> {
        let _ = self.stop.send(());
        // Fails only if the task was dropped with the runtime.
        let begun = self.task.await.unwrap_or_default();
        let pipe = self.pipe.as_fd().try_clone_to_owned()?;
        Ok(PausedOutput { pipe, begun })
    }
}

/// Forwards lines until the output ends, or until `stopped`. Then it returns the incomplete last
/// line.
async fn forward(
    name: String,
    pipe: Arc<pipe::Receiver>,
    mut buffer: Vec<u8>,
    stream: OutputStream,
    sink: Sink,
    stopped: oneshot::Receiver<()>,
) -> Vec<u8> {
    let mut log = |line: &[u8]| {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        if !text.is_empty() {
            tracing::info!(target: "replica", "[{name}] {text}");
            sink.push(stream, text);
        }
    };
    let stopped = async {
        // If the handle is dropped, the output is read to its end.
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            biased;
            () = &mut stopped => return buffer,
            readable = pipe.readable() => match readable.and_then(|()| pipe.try_read_buf(&mut buffer)) {
                Ok(1..) => {
                    split_lines(&mut buffer, &mut log);
                    // A replica may print without a pause, and the scaler's only thread also runs
                    // probes and decisions.
                    yield_now().await;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => break,
            },
        }
    }
    log(&buffer);
    Vec::new()
}

/// Hands out the complete lines of `buffer` and keeps the rest.
fn split_lines(buffer: &mut Vec<u8>, log: &mut impl FnMut(&[u8])) {
    let mut start = 0;
    while let Some(length) = buffer[start..].iter().position(|&b| b == b'\n') {
        log(&buffer[start..start + length]);
        start += length + 1;
    }
    buffer.drain(..start);
    if buffer.len() >= LONGEST_LINE {
        log(buffer);
        buffer.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_lines_and_bounds_those_without_end() {
        let mut seen = Vec::new();
        let mut log = |line: &[u8]| seen.push(line.len());
        let mut buffer = b"one\nfour\nrest".to_vec();
        split_lines(&mut buffer, &mut log);
        assert_eq!(buffer, b"rest");
        buffer.resize(LONGEST_LINE, b'x');
        split_lines(&mut buffer, &mut log);
        assert!(buffer.is_empty());
        assert_eq!(seen, [3, 4, LONGEST_LINE]);
    }
}

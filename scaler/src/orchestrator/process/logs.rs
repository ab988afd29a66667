//! What a replica prints: each line into the log, prefixed with its name; the
//! last lines kept, to say why it ended.

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

/// Longer lines are cut into several.
const LONGEST_LINE: usize = 8 * 1024;
const KEPT_LINES: usize = 5;

/// The last lines a replica wrote to its error output. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    fn push(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(|e| e.into_inner());
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    /// In one line, for an error message; `None` if it wrote nothing.
    pub(super) fn summary(&self) -> Option<String> {
        let lines = self.0.lock().unwrap_or_else(|e| e.into_inner());
        (!lines.is_empty()).then(|| lines.iter().cloned().collect::<Vec<_>>().join(" | "))
    }
}

/// Waits for a line that says that a replica is ready. Clones share what was seen.
#[derive(Clone, Debug)]
pub(super) struct LineWatch {
    /// `None`: no line is waited for.
    pattern: Option<Regex>,
    seen: Arc<watch::Sender<bool>>,
}

impl LineWatch {
    /// Waits for the line that `ready` names, if it names one.
    pub(super) fn new(ready: Option<&Readiness>) -> Self {
        let pattern = match ready {
            Some(Readiness::Line(pattern)) => pattern.compile().ok(),
            _ => None,
        };
        Self {
            pattern,
            seen: Arc::default(),
        }
    }

    /// Looks at a line, until one fits.
    fn look(&self, line: &str) {
        let Some(pattern) = &self.pattern else { return };
        if !*self.seen.borrow() && pattern.is_match(line) {
            self.seen.send_replace(true);
        }
    }

    /// Returns once such a line was printed.
    pub(super) async fn seen(&self) {
        // Cannot fail: the sender is here.
        let _ = self.seen.subscribe().wait_for(|seen| *seen).await;
    }
}

/// One of a replica's outputs, which goes into the log line by line until it ends.
#[derive(Debug)]
pub(super) struct Output {
    pipe: Arc<pipe::Receiver>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Output {
    /// Logs what comes from `pipe` of the replica `name`; `last` keeps the last lines, and `watch`
    /// sees all of them.
    pub(super) fn follow(
        name: String,
        pipe: OwnedFd,
        last: Option<LastLines>,
        watch: LineWatch,
    ) -> io::Result<Self> {
        let pipe = Arc::new(pipe::Receiver::from_owned_fd(pipe)?);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(forward(name, pipe.clone(), last, watch, stopped));
        Ok(Self { pipe, stop, task })
    }

    /// Returns once the output has ended and is logged, for as long as is waited.
    pub(super) async fn ended(&mut self) {
        if !self.task.is_finished() {
            let _ = (&mut self.task).await;
        }
    }

    /// Reads no more: another proxy does. What was read is logged.
    pub(super) async fn release(self) -> io::Result<OwnedFd> {
        let _ = self.stop.send(());
        let _ = self.task.await;
        self.pipe.as_fd().try_clone_to_owned()
    }
}

async fn forward(
    name: String,
    pipe: Arc<pipe::Receiver>,
    last: Option<LastLines>,
    watch: LineWatch,
    stopped: oneshot::Receiver<()>,
) {
    let mut buffer = Vec::with_capacity(1024);
    let mut log = |line: &[u8]| {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        if !text.is_empty() {
            tracing::info!(target: "replica", "[{name}] {text}");
            watch.look(text);
            if let Some(last) = &last {
                last.push(text);
            }
        }
    };
    let stopped = async {
        // Whoever forgets the output leaves it to its end.
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            biased;
            () = &mut stopped => break,
            readable = pipe.readable() => match readable.and_then(|()| pipe.try_read_buf(&mut buffer)) {
                Ok(1..) => {
                    split_lines(&mut buffer, &mut log);
                    // A replica may print without a pause, and the scaler has one thread for
                    // probes, decisions and the end of all this.
                    yield_now().await;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => break,
            },
        }
    }
    log(&buffer);
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

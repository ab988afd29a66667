//! What a replica prints: each line into the log, prefixed with its name; the
//! last lines kept, to say why it ended.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use tokio::io::{AsyncRead, AsyncReadExt};

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

/// Logs `output` line by line until it ends.
pub(super) async fn forward(
    name: String,
    mut output: impl AsyncRead + Unpin,
    last: Option<LastLines>,
) {
    let mut buffer = Vec::with_capacity(1024);
    let mut log = |line: &[u8]| {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        if !text.is_empty() {
            tracing::info!(target: "replica", "[{name}] {text}");
            if let Some(last) = &last {
                last.push(text);
            }
        }
    };
    while let Ok(1..) = output.read_buf(&mut buffer).await {
        split_lines(&mut buffer, &mut log);
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

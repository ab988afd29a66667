//! Standard error for log lines, without waiting for its reader. If nobody reads standard error,
//! lines are dropped and counted, so that neither a request nor a signal handler blocks on it.
//!
//! There is no thread and no queue in between: a line is out when the call returns, also just
//! before the process ends. The buffer of the pipe, terminal or journal is the queue.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd},
    sync::{Mutex, PoisonError},
};

use metrics::counter;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

/// Bytes that a pipe takes in one write once it polls as writable: Linux's `PIPE_BUF` (POSIX
/// guarantees 512).
const PIECE: usize = 4096;
/// How long the first line waits for room, in milliseconds, so that a slow reader loses nothing.
/// After a dropped line, the next lines do not wait.
const PATIENCE: u8 = 50;

static STDERR: Mutex<LossyWriter<io::Stderr>> = Mutex::new(LossyWriter::new());

/// Writes to standard error, one line per call.
#[derive(Clone, Copy, Debug)]
pub(super) struct LossyStderr;

impl Write for LossyStderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut writer = STDERR.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = writer.write_line(&mut io::stderr(), line);
        if dropped > 0 {
            counter!("tailback_log_dropped_total").increment(dropped);
        }
        // Always `Ok`: the caller would report an error on standard error, too.
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes `text` to standard output or standard error once, as far as its reader takes it soon.
pub fn write_to(output: BorrowedFd<'_>, text: &str) {
    if let Ok(output) = output.try_clone_to_owned() {
        LossyWriter::new().write_line(&mut File::from(output), text.as_bytes());
    }
}

/// Writes lines to a non-blocking or slow file, and keeps count of those it had to drop.
#[derive(Debug)]
struct LossyWriter<W> {
    /// Lines dropped since the last one that was written.
    dropped: u64,
    /// Whether the last line was written only in part.
    torn: bool,
    file: std::marker::PhantomData<fn(W)>,
}

impl<W: Write + AsFd> LossyWriter<W> {
    const fn new() -> Self {
        Self {
            dropped: 0,
            torn: false,
            file: std::marker::PhantomData,
        }
    }

    /// Writes the line, preceded by a notice if earlier ones were dropped. Returns how many lines
    /// this call dropped: 0 or 1.
    fn write_line(&mut self, file: &mut W, line: &[u8]) -> u64 {
        if self.dropped > 0 {
            let missing = format!(
                "{}{} log lines were dropped: standard error did not take them\n",
                if self.torn { "\n" } else { "" },
                self.dropped
            );
            if !self.write_pieces(file, missing.as_bytes()) {
                self.dropped += 1;
                return 1;
            }
            self.dropped = 0;
        }
        if self.write_pieces(file, line) {
            return 0;
        }
        self.dropped += 1;
        1
    }

    /// Returns whether all of `text` was written.
    fn write_pieces(&mut self, file: &mut W, text: &[u8]) -> bool {
        for (index, piece) in text.chunks(PIECE).enumerate() {
            let patience = if self.dropped == 0 { PATIENCE } else { 0 };
            // Files that cannot be polled, such as regular ones, do not block.
            let takes_more = is_writable_within(file, patience).unwrap_or(true);
            if !takes_more || file.write_all(piece).is_err() {
                self.torn |= index > 0;
                return false;
            }
        }
        self.torn = false;
        true
    }
}

/// Whether the file becomes writable within this many milliseconds.
///
/// # Errors
/// If it cannot be polled.
pub fn is_writable_within(file: &impl AsFd, milliseconds: u8) -> Result<bool, Errno> {
    let mut files = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
    loop {
        match poll(&mut files, PollTimeout::from(milliseconds)) {
            Err(Errno::EINTR) => {}
            ready => return ready.map(|ready| ready > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, os::unix::net::UnixStream};

    use super::*;

    #[test]
    fn unread_lines_are_dropped_and_counted_and_a_notice_follows() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let mut writer = LossyWriter::new();
        let line = format!("{}\n", "x".repeat(999));
        let mut written = 0;
        while writer.write_line(&mut ours, line.as_bytes()) == 0 {
            written += 1;
        }
        assert_eq!(writer.write_line(&mut ours, line.as_bytes()), 1);

        let mut read = vec![0; written * line.len()];
        theirs.read_exact(&mut read).unwrap();
        assert!(read.chunks(line.len()).all(|one| one == line.as_bytes()));

        assert_eq!(writer.write_line(&mut ours, b"next\n"), 0);
        let expected = "2 log lines were dropped: standard error did not take them\nnext\n";
        let mut read = vec![0; expected.len()];
        theirs.read_exact(&mut read).unwrap();
        assert_eq!(String::from_utf8(read).unwrap(), expected);
    }

    #[test]
    fn text_for_an_output_that_nobody_reads_is_given_up() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let text = "x".repeat(1_000 * PIECE);
        write_to(ours.as_fd(), &text);
        drop(ours);
        let mut read = Vec::new();
        theirs.read_to_end(&mut read).unwrap();
        assert!((1..1_000 * PIECE).contains(&read.len()), "{}", read.len());
    }

    #[test]
    fn a_closed_reader_is_no_error() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let mut writer = LossyWriter::new();
        assert_eq!(writer.write_line(&mut ours, b"line\n"), 1);
    }
}

//! The thread that writes the access log, and how it handles write errors.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use metrics::Counter;
use tailback_config::AccessLog as Target;

use super::{AccessLogEntry, line};
use crate::{
    log::is_writable_within,
    telemetry::{
        polled_queue::{Exporter, QueueReceiver},
        wall_clock::WallClock,
    },
};

/// Polling interval of the queue. Bounds how late a line is written.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a full named pipe is waited for, in milliseconds.
const PATIENCE: u8 = 250;
/// Bytes written in one call.
const PIECE: usize = 64 * 1024;

/// The file or standard output that lines are written to.
#[derive(Debug)]
pub(super) struct Destination {
    /// `None`: standard output.
    path: Option<PathBuf>,
    file: File,
}

impl Destination {
    pub(super) fn open(target: &Target) -> io::Result<Self> {
        Ok(match target {
            Target::Stdout => Self {
                path: None,
                file: File::from(io::stdout().as_fd().try_clone_to_owned()?),
            },
            Target::File(path) => Self {
                file: append_to(path)?,
                path: Some(path.clone()),
            },
        })
    }

    fn name(&self) -> String {
        let path = self.path.as_ref().map(|path| path.display().to_string());
        path.unwrap_or_else(|| "standard output".to_owned())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    // Opening a named pipe only to write would wait for its reader, and so would a full one.
    if fs::metadata(path).is_ok_and(|file| file.file_type().is_fifo()) {
        options
            .read(true)
            .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits());
    }
    options.open(path)
}

#[derive(Debug)]
pub(super) struct Writer {
    destination: Destination,
    /// Whether the file must be opened again.
    reopen: Arc<AtomicBool>,
    lost: Counter,
    text: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Writes,
    /// Writes fail. `lines` have been lost since the first failure; `torn`: the last line was
    /// written in part.
    Fails {
        lines: u64,
        torn: bool,
    },
}

impl Exporter for Writer {
    type Record = AccessLogEntry;
    const THREAD: &'static str = "access-log";

    fn run(mut self, entries: &QueueReceiver<AccessLogEntry>) {
        loop {
            let last = entries.is_closing();
            if self.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            let now = WallClock::read();
            // Bounded: entries that arrive meanwhile wait for the next pass, which checks `reopen`
            // first.
            for entry in entries.try_iter().take(super::QUEUE) {
                self.begin();
                line::write(&mut self.text, &entry, now);
                if self.text.len() >= PIECE {
                    self.write_out();
                }
            }
            self.write_out();
            if last {
                return;
            }
            thread::sleep(PAUSE);
        }
    }
}

impl Writer {
    pub(super) fn new(destination: Destination, reopen: Arc<AtomicBool>, lost: Counter) -> Self {
        Self {
            destination,
            reopen,
            lost,
            text: Vec::with_capacity(PIECE + 1024),
            state: State::Writes,
        }
    }

    /// Ends a line that was left incomplete by a failed write.
    fn begin(&mut self) {
        if self.text.is_empty() && matches!(self.state, State::Fails { torn: true, .. }) {
            self.text.push(b'\n');
        }
    }

    fn reopen(&mut self) {
        let Some(path) = &self.destination.path else {
            return;
        };
        match append_to(path) {
            Ok(file) => {
                self.destination.file = file;
                if let State::Fails { torn, .. } = &mut self.state {
                    *torn = false;
                }
            }
            Err(error) => tracing::error!(
                "access log {}: cannot reopen it, writing on to the file that is open: {error}",
                path.display()
            ),
        }
    }

    /// Writes the buffered text, or as much of it as the file takes. The rest is lost and counted.
    fn write_out(&mut self) {
        let mut done = 0;
        let mut failure = None;
        while done < self.text.len() {
            match self.destination.file.write(&self.text[done..]) {
                Ok(0) => failure = Some(io::ErrorKind::WriteZero.into()),
                Ok(length) => done += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && self.takes_more_soon() => {}
                Err(error) => failure = Some(error),
            }
            if failure.is_some() {
                break;
            }
        }
        match failure {
            Some(error) => self.failed(&error, done),
            None if done > 0 => self.written(),
            None => {}
        }
        self.text.clear();
    }

    /// Whether a full pipe is read within a moment. Once lines were lost, it is not waited for.
    fn takes_more_soon(&self) -> bool {
        let is_late = matches!(self.state, State::Fails { .. });
        let patience = if is_late { 0 } else { PATIENCE };
        is_writable_within(&self.destination.file, patience).unwrap_or(false)
    }

    fn failed(&mut self, error: &io::Error, done: usize) {
        let (before, was_torn) = match self.state {
            State::Fails { lines, torn } => (lines, torn),
            State::Writes => {
                tracing::error!(
                    "access log {}: {error}; lines are lost until it can be written again",
                    self.destination.name()
                );
                (0, false)
            }
        };
        let (written, rest) = self.text.split_at(done);
        // If a torn line is pending, the first line break ends that line and is no line of its own.
        let breaks = memchr::memchr_iter(b'\n', rest).count();
        let lost = breaks - usize::from(was_torn && done == 0 && breaks > 0);
        self.lost.increment(lost as u64);
        self.state = State::Fails {
            lines: before + lost as u64,
            torn: match written.last() {
                None => was_torn,
                Some(&last) => last != b'\n',
            },
        };
    }

    fn written(&mut self) {
        if let State::Fails { lines, .. } = self.state {
            tracing::info!(
                "access log {}: written again; {lines} lines were lost",
                self.destination.name()
            );
            self.state = State::Writes;
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_named_pipe_is_opened_without_its_reader() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let pipe = Destination::open(&Target::File(path.clone())).unwrap();
        let mut writer = Writer::new(pipe, Arc::default(), Counter::noop());
        writer.text.extend(b"{1}\n");
        writer.write_out();
        let mut read = [0; 4];
        let mut reader = File::open(&path).unwrap();
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"{1}\n");
        // One that nobody reads loses lines, and takes some again once somebody does.
        writer.text = b"{2}\n".repeat(64 * 1024);
        writer.write_out();
        assert!(matches!(writer.state, State::Fails { lines: 1.., .. }));
        reader.read_exact(&mut vec![0; 32 * 1024]).unwrap();
        writer.begin();
        writer.text.extend(b"{3}\n");
        writer.write_out();
        assert_eq!(writer.state, State::Writes);
    }

    #[test]
    fn a_full_disk_loses_lines_until_there_is_room_and_a_torn_line_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        // /dev/full: on Linux, every write to it fails with ENOSPC.
        let full = Destination::open(&Target::File("/dev/full".into())).unwrap();
        let mut writer = Writer::new(full, Arc::default(), Counter::noop());
        for _ in 0..2 {
            writer.text.extend(b"{1}\n{2}\n");
            writer.write_out();
        }
        assert_eq!(
            writer.state,
            State::Fails {
                lines: 4,
                torn: false
            }
        );

        // A line that was written in part.
        fs::write(&file, "{5").unwrap();
        writer.state = State::Fails {
            lines: 5,
            torn: true,
        };
        writer.destination = Destination::open(&Target::File(file.clone())).unwrap();
        writer.begin();
        writer.text.extend(b"{6}\n");
        writer.write_out();
        assert_eq!(writer.state, State::Writes);
        assert_eq!(fs::read_to_string(&file).unwrap(), "{5\n{6}\n");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error() {
        for wrong in ["/", "/nowhere/a"] {
            assert!(append_to(Path::new(wrong)).is_err(), "{wrong}");
        }
    }
}

//! Fetches files into a folder.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use nix::sys::statvfs::statvfs;
use tokio::{
    fs::{File, create_dir_all},
    io::{AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};

use super::source::{Source, SourceFile};

/// Files of one model that are fetched at once.
const AT_ONCE: usize = 4;
/// How long a source may send less than [`LEAST`] bytes.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes of a file that must arrive within [`SILENCE`], except for its last ones.
const LEAST: u64 = 64 * 1024;

/// How far a fetch is, in bytes.
#[derive(Debug, Default)]
pub(super) struct Progress {
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// Begins a fetch of `total` bytes. It ends when the returned value is dropped.
    pub(super) fn begin(&self, total: u64) -> Fetching<'_> {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        Fetching(self)
    }

    /// The bytes that have arrived, and the total. `None`: nothing is being fetched.
    pub(super) fn get(&self) -> Option<(u64, u64)> {
        let total = self.total.load(Ordering::Relaxed);
        (total > 0).then(|| (self.done.load(Ordering::Relaxed), total))
    }
}

/// A fetch that is under way.
pub(super) struct Fetching<'a>(&'a Progress);

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        self.0.total.store(0, Ordering::Relaxed);
    }
}

/// Fails if the disk of `folder` does not have that much free space.
pub(super) fn check_room(folder: &Path, bytes: u64) -> Result<(), String> {
    let disk = statvfs(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    // The fields' types differ from system to system.
    #[allow(clippy::useless_conversion)]
    let free = u64::from(disk.blocks_available()).saturating_mul(u64::from(disk.fragment_size()));
    match bytes <= free {
        true => Ok(()),
        false => Err(format!(
            "it has {bytes} bytes, and the disk of {} has {free} left",
            folder.display()
        )),
    }
}

/// Fetches all of `files` into `folder`, which exists and is empty.
///
/// # Errors
/// If a file does not arrive whole, or cannot be written. Files that have arrived stay in the
/// folder.
pub(super) async fn fetch(
    source: &Source,
    files: &[SourceFile],
    folder: &Path,
    progress: &Progress,
) -> Result<(), String> {
    stream::iter(files.iter().map(Ok))
        .try_for_each_concurrent(AT_ONCE, |file| async move {
            let fetched = fetch_one(source, file, folder, progress).await;
            fetched.map_err(|why| format!("{}: {why}", file.relative.display()))
        })
        .await
}

async fn fetch_one(
    source: &Source,
    file: &SourceFile,
    folder: &Path,
    progress: &Progress,
) -> Result<(), String> {
    let written = |error: std::io::Error| format!("it cannot be written: {error}");
    let path = file.path(folder);
    if let Some(parent) = path.parent() {
        create_dir_all(parent).await.map_err(written)?;
    }
    let out = File::create_new(&path).await.map_err(written)?;
    let pieces = timeout(SILENCE, source.read(file));
    let silent = |_| format!("nothing came for {} s", SILENCE.as_secs());
    let pieces = pieces.await.map_err(silent)??;
    receive(pieces, file.size, out, progress).await
}

/// Writes a file that arrives into `out`. It must have exactly `expected` bytes.
async fn receive(
    mut pieces: impl Stream<Item = Result<Bytes, String>> + Unpin,
    expected: u64,
    mut out: impl AsyncWrite + Unpin,
    progress: &Progress,
) -> Result<(), String> {
    let written = |error: std::io::Error| format!("it cannot be written: {error}");
    let slow = |_| format!("fewer than {LEAST} bytes came in {} s", SILENCE.as_secs());
    let (mut size, mut lately, mut by) = (0_u64, 0_u64, Instant::now() + SILENCE);
    while let Some(piece) = timeout_at(by, pieces.next()).await.map_err(slow)? {
        let piece = piece?;
        let bytes = piece.len() as u64;
        size += bytes;
        if size > expected {
            break;
        }
        out.write_all(&piece).await.map_err(written)?;
        progress.done.fetch_add(bytes, Ordering::Relaxed);
        lately += bytes;
        if lately >= LEAST {
            (lately, by) = (0, Instant::now() + SILENCE);
        }
    }
    out.flush().await.map_err(written)?;
    match size == expected {
        true => Ok(()),
        false => Err(format!(
            "{size} bytes came, and it has {expected}: it has changed, or was cut off"
        )),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream::unfold;
    use tokio::time::sleep;

    use super::*;

    /// A source that sends `pieces` of `bytes` each, with a pause before each.
    fn source(
        pieces: u32,
        bytes: usize,
        pause: Duration,
    ) -> impl Stream<Item = Result<Bytes, String>> + Unpin {
        let next = move |left: u32| async move {
            sleep(pause).await;
            let piece = Bytes::from(vec![7; bytes]);
            (left > 0).then(|| (Ok(piece), left - 1))
        };
        Box::pin(unfold(pieces, next))
    }

    async fn received(
        source: impl Stream<Item = Result<Bytes, String>> + Unpin,
        expected: u64,
    ) -> Result<usize, String> {
        let mut out = Vec::new();
        let done = receive(source, expected, &mut out, &Progress::default()).await;
        done.map(|()| out.len())
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_comes_slowly_but_steadily_comes_whole() {
        let source = source(100, LEAST as usize, SILENCE / 2);
        assert_eq!(received(source, 100 * LEAST).await, Ok(100 * 65536));
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_trickles_is_given_up() {
        let begun = Instant::now();
        let why = received(source(1_000_000, 1, SILENCE * 9 / 10), 1_000_000).await;
        assert_eq!(why, Err("fewer than 65536 bytes came in 60 s".into()));
        assert!(begun.elapsed() < SILENCE * 2);
    }

    #[tokio::test]
    async fn a_file_that_is_cut_off_or_too_long_is_refused() {
        for (pieces, came) in [(1, 10), (3, 30)] {
            let why = received(source(pieces, 10, Duration::ZERO), 20).await;
            let expected =
                format!("{came} bytes came, and it has 20: it has changed, or was cut off");
            assert_eq!(why, Err(expected));
        }
    }
}

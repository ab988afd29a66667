//! Fetches files into a folder.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use nix::sys::statvfs::statvfs;
use tokio::{
    fs::{File, create_dir_all},
    io::AsyncWriteExt,
    time::timeout,
};

use super::source::{Source, SourceFile};

/// Files of one model that are fetched at once.
const AT_ONCE: usize = 4;
/// How long a source may send nothing.
const SILENCE: Duration = Duration::from_secs(60);

/// How far a fetch is, in bytes.
#[derive(Debug, Default)]
pub(super) struct Progress {
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    pub(super) fn begin(&self, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.total.store(0, Ordering::Relaxed);
    }

    /// Bytes that are here, of how many; `None`: nothing is being fetched.
    pub(super) fn get(&self) -> Option<(u64, u64)> {
        let total = self.total.load(Ordering::Relaxed);
        (total > 0).then(|| (self.done.load(Ordering::Relaxed), total))
    }
}

/// Fails if the disk of `folder` has no room for so many bytes.
pub(super) fn check_room(folder: &Path, bytes: u64) -> Result<(), String> {
    let disk = statvfs(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    // Their types differ from system to system.
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

/// Fetches all of `files` into `folder`, which is there and empty.
///
/// # Errors
/// If a file does not come whole, or cannot be written. What came stays in the folder.
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
    let silent = |_| format!("nothing came for {} s", SILENCE.as_secs());
    let written = |error: std::io::Error| format!("it cannot be written: {error}");
    let path = file.path(folder);
    if let Some(parent) = path.parent() {
        create_dir_all(parent).await.map_err(written)?;
    }
    let mut out = File::create_new(&path).await.map_err(written)?;
    let mut pieces = timeout(SILENCE, source.read(file))
        .await
        .map_err(silent)??;
    let mut size = 0_u64;
    while let Some(piece) = timeout(SILENCE, pieces.next()).await.map_err(silent)? {
        let piece = piece?;
        size += piece.len() as u64;
        if size > file.size {
            break;
        }
        out.write_all(&piece).await.map_err(written)?;
        progress
            .done
            .fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
    out.flush().await.map_err(written)?;
    match size == file.size {
        true => Ok(()),
        false => Err(format!(
            "{size} bytes came, and it has {}: it has changed, or was cut off",
            file.size
        )),
    }
}

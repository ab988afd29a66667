//! Watches the manifests for changes.
//!
//! The kernel's events only wake the watcher, which then compares the files with their last
//! state. So it does not matter how they were changed: in place, by a rename as editors do, by
//! adding or removing files, or by the `..data` link of a mounted ConfigMap. A slow poll finds
//! changes without events (network file systems, a full queue).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::{Error, files};

/// How long the files must be unchanged before a change is reported: saving a file may take
/// several changes.
const QUIET: Duration = Duration::from_millis(200);
/// How long continuing changes may delay the report.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the files are checked without an event.
const POLL: Duration = Duration::from_secs(10);

/// Watches the files until it is dropped.
#[derive(Debug)]
pub struct Watch {
    sender: Sender<Notice>,
    thread: Option<JoinHandle<()>>,
}

enum Notice {
    /// An event in one of the folders.
    Stir,
    Stop,
}

/// Calls `on_change`, on a thread of its own, each time the manifests at `paths` have changed.
/// Whether they are valid, or have a different meaning, is not checked here.
///
/// Changes before this call are not reported, so watch first and then load.
///
/// # Errors
///
/// If the folder of a path does not exist or cannot be watched.
pub fn watch(paths: &[PathBuf], on_change: impl Fn() + Send + 'static) -> Result<Watch, Error> {
    let (sender, receiver) = mpsc::channel();
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Watch { path, source }
    };
    let stir = sender.clone();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.map_or(true, |event| matters(event.kind)) {
            // The receiver is gone only when the watch is being dropped.
            let _ = stir.send(Notice::Stir);
        }
    });
    let first = paths.first().map_or(Path::new("."), PathBuf::as_path);
    let mut folders = Folders {
        watcher: watcher.map_err(failed(first))?,
        paths: paths.to_vec(),
    };
    for folder in folders.needed() {
        folders
            .watcher
            .watch(&folder, RecursiveMode::NonRecursive)
            .map_err(failed(&folder))?;
    }
    let seen = fingerprint(paths);
    let thread = thread::Builder::new()
        .name("config-watch".into())
        .spawn(move || run(&receiver, &mut folders, seen, &on_change))
        .map_err(|error| failed(first)(notify::Error::io(error)))?;
    Ok(Watch {
        sender,
        thread: Some(thread),
    })
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.sender.send(Notice::Stop); // fails if the thread has ended already
        if let Some(thread) = self.thread.take() {
            // `on_change` may drop its own watch; a thread cannot wait for itself.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join(); // a panic of `on_change` has been reported where it was
            }
        }
    }
}

/// Whether an event may have changed files. Reading a file is an event too, and must be ignored,
/// or our own loads would cause endless events.
fn matters(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

fn run(
    receiver: &Receiver<Notice>,
    folders: &mut Folders,
    mut seen: Fingerprint,
    on_change: &dyn Fn(),
) {
    loop {
        match receiver.recv_timeout(POLL) {
            Ok(Notice::Stir) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Notice::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        }
        let Some(now) = settle(receiver, folders, PATIENCE) else {
            return;
        };
        if now != seen {
            seen = now;
            on_change();
        }
    }
}

/// Waits until the files no longer change, for about `patience` at most, and returns their state.
/// `None`: stop.
///
/// Events of other files in the folders do not delay this.
fn settle(
    receiver: &Receiver<Notice>,
    folders: &mut Folders,
    patience: Duration,
) -> Option<Fingerprint> {
    let start = Instant::now();
    let mut before = fingerprint(&folders.paths);
    loop {
        if !pass(receiver, QUIET) {
            return None;
        }
        // Before the files are checked, so that later changes cause an event.
        folders.renew();
        let now = fingerprint(&folders.paths);
        if now == before || start.elapsed() >= patience {
            return Some(now);
        }
        before = now;
    }
}

/// Waits for `time`. Returns `false` if the watch must stop.
fn pass(receiver: &Receiver<Notice>, time: Duration) -> bool {
    let end = Instant::now() + time;
    loop {
        match receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(Notice::Stir) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Ok(Notice::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

/// The folders in which a change can happen.
struct Folders {
    watcher: RecommendedWatcher,
    paths: Vec<PathBuf>,
}

impl Folders {
    /// The folders of all paths, both as given and with links resolved.
    fn needed(&self) -> BTreeSet<PathBuf> {
        let mut needed = BTreeSet::new();
        for path in &self.paths {
            let real = fs::canonicalize(path).ok();
            for path in real.iter().chain([path]) {
                needed.insert(parent(path));
                if path.is_dir() {
                    needed.insert(path.clone());
                }
            }
            // Files in a folder may be links to elsewhere.
            let files = files::list(path).unwrap_or_default();
            needed.extend(
                files
                    .iter()
                    .filter_map(|file| fs::canonicalize(file).ok())
                    .map(|file| parent(&file)),
            );
        }
        needed
    }

    /// Registers all folders again: a folder that was deleted and created again needs a new
    /// watch.
    fn renew(&mut self) {
        for folder in self.needed() {
            // Fails if the folder is gone. Its return is noticed by its parent's event or by the
            // poll.
            let _ = self.watcher.watch(&folder, RecursiveMode::NonRecursive);
        }
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The state of the manifests without their content: real paths, sizes and modification times.
type Fingerprint = Vec<(PathBuf, Option<(PathBuf, u64, Option<SystemTime>)>)>;

fn fingerprint(paths: &[PathBuf]) -> Fingerprint {
    let mut fingerprint = Fingerprint::new();
    for path in paths {
        // A path that cannot be listed is included as absent.
        for file in files::list(path).unwrap_or_else(|_| vec![path.clone()]) {
            let real = fs::canonicalize(&file).and_then(|real| {
                let metadata = fs::metadata(&real)?;
                Ok((real, metadata.len(), metadata.modified().ok()))
            });
            fingerprint.push((file, real.ok()));
        }
    }
    fingerprint
}

#[cfg(test)]
mod tests;

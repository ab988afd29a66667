//! Fetches the files of models into the folder from which a server's replicas load them.
//!
//! A model's files are in a folder with its name. The folder `.tailback` beside them records which
//! files were fetched, and from where, so that a later process knows which folders are Tailback's
//! own: others are never changed. Files are fetched into `.tailback` and then moved into place,
//! and moved back there before they are removed, so that a model's folder is either complete or
//! absent.

mod adapt;
mod fetch;
mod record;
mod source;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use tailback_config::ModelRepository;
use tokio::{fs, sync::Semaphore, task::spawn_blocking};

use self::{
    fetch::{Progress, check_room, fetch},
    record::Record,
    source::Source,
};

/// Tailback's own folder among those of the models.
const OWN: &str = ".tailback";
/// Suffixes of folders in [`OWN`] that are not complete yet, or are being removed.
const PARTIAL: &str = ".partial";
const GONE: &str = ".gone";
/// Models of one server whose files are fetched at once.
const AT_ONCE: usize = 4;

/// The folder of one server.
pub(super) struct ModelStorage {
    root: PathBuf,
    /// Bytes that may be kept for models that are loaded nowhere.
    cache: u64,
    models: Mutex<BTreeMap<String, Arc<StoredModel>>>,
    /// A permit is held while a model's files are fetched.
    fetches: Semaphore,
}

/// A model's files.
#[derive(Default)]
struct StoredModel {
    /// Held while its files change.
    changing: tokio::sync::Mutex<()>,
    progress: Progress,
    usage: Mutex<CacheUsage>,
}

/// Whether a model's files are needed, for deciding which to remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct CacheUsage {
    needed: bool,
    /// The order in which files stopped being needed.
    since: u64,
    bytes: u64,
}

impl ModelStorage {
    /// The storage of `repository`, with the files that earlier processes have fetched.
    pub(super) fn open(repository: &ModelRepository) -> Arc<Self> {
        let storage = Self {
            root: repository.path.clone(),
            cache: repository.cache,
            models: Mutex::default(),
            fetches: Semaphore::new(AT_ONCE),
        };
        storage.sweep();
        for (name, record) in record::all(&storage.own()) {
            // Needed until it is known which models are loaded.
            let model = storage.need(&name);
            lock(&model.usage).bytes = record.bytes();
        }
        Arc::new(storage)
    }

    /// Removes incomplete folders of an earlier process.
    fn sweep(&self) {
        let entries = std::fs::read_dir(self.own()).into_iter().flatten();
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if (name.ends_with(PARTIAL) || name.ends_with(GONE))
                && let Err(error) = std::fs::remove_dir_all(&path)
            {
                tracing::warn!("{}: it cannot be removed: {error}", path.display());
            }
        }
    }

    fn own(&self) -> PathBuf {
        self.root.join(OWN)
    }

    /// The entry of a model, whose files are needed from now on.
    fn need(&self, name: &str) -> Arc<StoredModel> {
        let mut models = lock(&self.models);
        let model = models.entry(name.to_owned()).or_default().clone();
        // Set under the map's lock, so that `trim_to` does not remove the entry meanwhile.
        lock(&model.usage).needed = true;
        model
    }

    /// The source of the files in a model's folder, if Tailback has fetched them.
    pub(super) fn uri(&self, name: &str) -> Option<String> {
        Some(record::read(&self.own(), name)?.uri)
    }

    /// The bytes of a model's fetch that have arrived, and the total.
    pub(super) fn progress(&self, name: &str) -> Option<(u64, u64)> {
        lock(&self.models).get(name)?.progress.get()
    }

    /// Whether anything is being fetched.
    pub(super) fn is_fetching(&self) -> bool {
        let models = lock(&self.models);
        models.values().any(|model| model.progress.get().is_some())
    }

    /// Makes sure that the folder `name` has the present files of `uri`.
    ///
    /// # Errors
    /// A sentence that says why not. The earlier files stay.
    pub(super) async fn provide(&self, name: &str, uri: &str) -> Result<(), String> {
        let model = self.need(name);
        let _changing = model.changing.lock().await;
        let result = self.refresh(name, uri, &model).await;
        let from = source::without_secrets(uri);
        result.map_err(|why| format!("its files cannot be fetched from {from}: {why}"))
    }

    async fn refresh(&self, name: &str, uri: &str, model: &StoredModel) -> Result<(), String> {
        let folder = self.root.join(name);
        let own = self.own();
        let failed = |path: &std::path::Path| {
            let path = path.display().to_string();
            move |error: std::io::Error| format!("{path}: {error}")
        };
        fs::create_dir_all(&own).await.map_err(failed(&own))?;
        let before = record::read(&own, name);
        let is_there = fs::try_exists(&folder).await.map_err(failed(&folder))?;
        if is_there && before.is_none() {
            return Err(format!(
                "{} is there, and Tailback has not put it there; remove it, or remove the model's storageUri",
                folder.display()
            ));
        }
        let source = Source::open(uri)?;
        let listed = source.list().await;
        let known = before.filter(|before| is_there && before.uri == uri);
        let files = match (listed, &known) {
            (Ok(files), Some(known)) if known.is_of(&files) => return Ok(()),
            (Ok(files), _) => files,
            (Err(why), Some(_)) => {
                tracing::warn!(
                    model = name,
                    "the files that were fetched before are used: {why}"
                );
                return Ok(());
            }
            (Err(why), None) => return Err(why),
        };
        // Acquired here, so that models whose files are up to date do not wait for others'
        // fetches.
        let _fetches = self.fetches.acquire().await;
        let record = Record::new(uri, &files);
        let bytes = record.bytes();
        self.trim_to(self.cache.saturating_sub(bytes)).await;
        check_room(&own, bytes)?;
        tracing::info!(
            model = name,
            bytes,
            files = files.len(),
            "fetches its files from {}",
            source::without_secrets(uri)
        );
        let partial = own.join(format!("{name}{PARTIAL}"));
        remove(partial.clone()).await.map_err(failed(&partial))?;
        fs::create_dir(&partial).await.map_err(failed(&partial))?;
        let fetched = {
            let _seen = model.progress.begin(bytes.max(1));
            fetch(&source, &files, &partial, &model.progress).await
        };
        let adapted = match fetched {
            Ok(()) => {
                let (folder, name) = (partial.clone(), name.to_owned());
                let adapted = spawn_blocking(move || adapt::set_name(&folder, &name)).await;
                adapted.unwrap_or(Ok(())).map_err(failed(&partial))
            }
            Err(why) => Err(why),
        };
        if let Err(why) = adapted {
            let _ = remove(partial).await;
            return Err(why);
        }
        // A folder without a record is not Tailback's. So the folder must never exist without one.
        let gone = self.set_aside(name).await.map_err(failed(&folder))?;
        record.write(&own, name).map_err(failed(&own))?;
        fs::rename(&partial, &folder)
            .await
            .map_err(failed(&folder))?;
        remove(gone.clone()).await.map_err(failed(&gone))?;
        lock(&model.usage).bytes = bytes;
        tracing::info!(model = name, bytes, "its files are in {}", folder.display());
        Ok(())
    }

    /// Takes which models are loaded or are to be loaded. The files of all others may be removed.
    /// Returns whether some must be: see [`trim`](Self::trim).
    pub(super) fn set_needed(&self, names: &BTreeSet<&str>) -> bool {
        let models = lock(&self.models);
        let since = models.values().map(|model| lock(&model.usage).since).max();
        let now = since.unwrap_or(0) + 1;
        let mut bytes = 0_u64;
        let mut is_new = false;
        for (name, model) in &*models {
            let mut own = lock(&model.usage);
            let needed = names.contains(&**name);
            if own.needed && !needed {
                own.since = now;
                is_new = true;
            }
            own.needed = needed;
            bytes = bytes.saturating_add(if needed { 0 } else { own.bytes });
        }
        is_new && (bytes > self.cache || bytes == 0)
    }

    /// Removes files that are not needed until they fit into the cache, the longest unneeded
    /// first.
    pub(super) async fn trim(&self) {
        self.trim_to(self.cache).await;
    }

    async fn trim_to(&self, kept: u64) {
        let mut unneeded: Vec<(String, Arc<StoredModel>, CacheUsage)> = {
            let models = lock(&self.models);
            let all = models.iter().map(|(name, model)| {
                let own = *lock(&model.usage);
                (name.clone(), model.clone(), own)
            });
            all.filter(|(.., own)| !own.needed).collect()
        };
        unneeded.sort_by_key(|(.., own)| own.since);
        let mut bytes: u64 = unneeded.iter().map(|(.., own)| own.bytes).sum();
        for (name, model, own) in unneeded {
            if bytes <= kept && own.bytes > 0 {
                break;
            }
            let Ok(_changing) = model.changing.try_lock() else {
                continue;
            };
            if lock(&model.usage).needed {
                continue;
            }
            bytes = bytes.saturating_sub(own.bytes);
            match self.discard(&name).await {
                Ok(()) => {
                    let mut models = lock(&self.models);
                    if !lock(&model.usage).needed {
                        models.remove(&name);
                    }
                }
                Err(error) => tracing::warn!(model = name, "its files cannot be removed: {error}"),
            }
        }
    }

    /// Removes a model's files, if Tailback has fetched them.
    async fn discard(&self, name: &str) -> std::io::Result<()> {
        let own = self.own();
        if record::read(&own, name).is_none() {
            return Ok(());
        }
        let gone = self.set_aside(name).await?;
        record::remove(&own, name)?;
        remove(gone).await?;
        tracing::info!(model = name, "its files are removed: it is loaded nowhere");
        Ok(())
    }

    /// Moves a model's folder away as a whole, if it exists, and returns its new path. So if
    /// removing it is interrupted, no incomplete folder is left where a server looks for models.
    async fn set_aside(&self, name: &str) -> std::io::Result<PathBuf> {
        let gone = self.own().join(format!("{name}{GONE}"));
        remove(gone.clone()).await?;
        match fs::rename(self.root.join(name), &gone).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(gone),
        }
    }
}

/// Removes a folder with all its content, if it exists.
async fn remove(folder: PathBuf) -> std::io::Result<()> {
    match fs::remove_dir_all(folder).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A poisoned lock is fine: each change is one assignment or insertion.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

//! The configuration in force, and its replacement while everything runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::{Config, Env, Errors, load};

/// Holds the current [`Config`]. Reading it takes no lock; a reload replaces it as a whole.
#[derive(Debug)]
pub struct Store {
    paths: Vec<PathBuf>,
    env: Env,
    current: ArcSwap<Config>,
    /// Held through a reload, so that of two at once the later reading wins.
    reloading: Mutex<()>,
}

/// What a reload brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// Whether anything is different. Comments and the order of documents make no difference.
    pub changed: bool,
    /// What is different, a line each: `model iris: added`.
    pub notes: Vec<String>,
}

impl Store {
    /// Loads the configuration for the first time.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn open(paths: &[PathBuf], env: Env) -> Result<Self, Errors> {
        let config = load(paths, &env)?;
        Ok(Self {
            paths: paths.to_vec(),
            env,
            current: ArcSwap::from_pointee(config),
            reloading: Mutex::new(()),
        })
    }

    /// The configuration in force. A snapshot: take it once for each thing done with it.
    #[must_use]
    pub fn current(&self) -> Arc<Config> {
        self.current.load_full()
    }

    /// Where the manifests are.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Reads the manifests again. The environment is that of the start: what comes from it alone
    /// cannot change.
    ///
    /// # Errors
    ///
    /// Everything that is wrong; what was in force stays in force.
    pub fn reload(&self) -> Result<Reloaded, Errors> {
        // A panic under the lock leaves nothing half done: the swap is one step.
        let _reloading = self
            .reloading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let new = load(&self.paths, &self.env)?;
        let old = self.current();
        let mut notes = compare("server", &old.servers, &new.servers);
        notes.extend(compare("model", &old.models, &new.models));
        // Also if nothing is different: the lines that origins tell may have moved.
        self.current.store(Arc::new(new));
        Ok(Reloaded {
            changed: !notes.is_empty(),
            notes,
        })
    }
}

/// What was added, removed and changed among objects of one kind.
fn compare<T: PartialEq>(
    kind: &str,
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
) -> Vec<String> {
    let removed = old.keys().filter(|name| !new.contains_key(*name));
    let removed = removed.map(|name| format!("{kind} {name}: removed"));
    let others = new.iter().filter_map(|(name, object)| match old.get(name) {
        None => Some(format!("{kind} {name}: added")),
        Some(before) if before != object => Some(format!("{kind} {name}: changed")),
        Some(_) => None,
    });
    removed.chain(others).collect()
}

#[cfg(test)]
mod tests;

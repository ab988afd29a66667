//! Keeps the current configuration and replaces it on a reload.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::cluster::{self, ClusterObject, Id};
use crate::files::{self, Source};
use crate::{Config, Env, Errors, load};

/// Holds the current [`Config`]. Reading it takes no lock. A reload replaces it as a whole.
#[derive(Debug)]
pub struct Store {
    paths: Vec<PathBuf>,
    env: Env,
    current: ArcSwap<Config>,
    /// Locked during a reload, so that of two concurrent reloads the later one wins.
    cluster: Mutex<Cluster>,
}

/// The objects of a cluster, which are added to the manifests.
#[derive(Debug, Default)]
struct Cluster {
    objects: Vec<ClusterObject>,
    /// The last valid documents of each object.
    good: BTreeMap<Id, Source>,
    /// The last warning about each object whose present state is not in force.
    reported: BTreeMap<Id, String>,
}

/// The result of a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// Whether anything has changed. Comments and the order of documents do not count.
    pub changed: bool,
    /// The changes, one line each: `model iris: added`.
    pub notes: Vec<String>,
    /// New warnings about objects of the cluster whose present state is not in force.
    pub warnings: Vec<String>,
}

impl Store {
    /// Loads the configuration for the first time.
    ///
    /// # Errors
    ///
    /// All errors in it.
    pub fn open(paths: &[PathBuf], env: Env) -> Result<Self, Errors> {
        let config = load(paths, &env)?;
        Ok(Self {
            paths: paths.to_vec(),
            env,
            current: ArcSwap::from_pointee(config),
            cluster: Mutex::default(),
        })
    }

    /// The current configuration. Take this snapshot once for each task, so that the task sees
    /// one state.
    #[must_use]
    pub fn current(&self) -> Arc<Config> {
        self.current.load_full()
    }

    /// The paths of the manifests.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Sets the objects of the cluster. They take effect at the next [reload](Self::reload).
    pub fn set_cluster(&self, mut objects: Vec<ClusterObject>) {
        // Sorted, so that among several objects for one model always the same one wins.
        objects.sort_by_key(ClusterObject::id);
        self.cluster().objects = objects;
    }

    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        // Consistent even after a panic: each change is one step.
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the manifests again. The environment is not read again.
    ///
    /// # Errors
    ///
    /// All errors in the manifests; the current configuration then stays in force. A wrong object
    /// of the cluster is not an error but a warning: its last valid state stays, or it is left
    /// out.
    pub fn reload(&self) -> Result<Reloaded, Errors> {
        let mut cluster = self.cluster();
        let (new, warnings) = cluster.build(&self.paths, &self.env)?;
        let old = self.current();
        let mut notes = compare("server", &old.servers, &new.servers);
        notes.extend(compare("model", &old.models, &new.models));
        // Replaced even if nothing has changed, because the line numbers of origins may be new.
        self.current.store(Arc::new(new));
        Ok(Reloaded {
            changed: !notes.is_empty(),
            notes,
            warnings,
        })
    }
}

// === impl Cluster ===

impl Cluster {
    /// Builds the configuration with all valid objects of the cluster, and returns new warnings
    /// about the others.
    fn build(&mut self, paths: &[PathBuf], env: &Env) -> Result<(Config, Vec<String>), Errors> {
        let mut errors = Vec::new();
        let sources = files::read(paths, &mut errors);
        let plain = load::build_with(&sources, &[], env, errors)?;
        let mut reported = BTreeMap::new();
        let mut tries = self.tries(&plain, &mut reported);
        let config = loop {
            let chosen: Vec<&Source> = tries.values().filter_map(|tries| tries.last()).collect();
            let errors = match load::build_with(&sources, &chosen, env, Vec::new()) {
                Ok(config) => break config,
                Err(errors) => errors,
            };
            let mut dropped = false;
            for error in &errors {
                let Some(id) = cluster::culprit(error) else {
                    continue;
                };
                reported
                    .entry(id.clone())
                    .or_insert_with(|| cluster::explain(error));
                dropped |= tries
                    .get_mut(&id)
                    .is_some_and(|tries| tries.pop().is_some());
            }
            if !dropped {
                // Objects of the cluster must not invalidate manifests that are valid by
                // themselves.
                break plain;
            }
        };
        let in_force = tries
            .into_iter()
            .filter_map(|(id, mut tries)| Some((id, tries.pop()?)));
        self.good = in_force.collect();
        let warning = |(id, why): (&Id, &String)| {
            let kept = match self.good.contains_key(id) {
                true => "it stays as it was",
                false => "it is not served",
            };
            format!("{id}: {why}; {kept}")
        };
        let news = reported
            .iter()
            .filter(|(id, why)| self.reported.get(*id) != Some(why));
        let warnings = news.map(warning).collect();
        self.reported = reported;
        Ok((config, warnings))
    }

    /// The documents to try for each object that may be served: its present ones first, then
    /// those that were valid last.
    fn tries(
        &self,
        plain: &Config,
        reported: &mut BTreeMap<Id, String>,
    ) -> BTreeMap<Id, Vec<Source>> {
        let gateway = plain.process.cluster_models.as_ref();
        let gateway = gateway.map_or("", |models| &models.gateway);
        let mut tries = BTreeMap::new();
        let mut taken: BTreeMap<&str, String> = plain
            .models
            .values()
            .map(|model| {
                (
                    &*model.name,
                    format!("the manifests have a model {}", model.name),
                )
            })
            .collect();
        for object in &self.objects {
            let Some(model) = object.model() else {
                continue;
            };
            let id = object.id();
            if let Some(by) = taken.get(model) {
                reported.insert(id, format!("{by} already"));
                continue;
            }
            taken.insert(model, format!("{id} describes model {model}"));
            let mut of_it: Vec<Source> = self.good.get(&id).cloned().into_iter().collect();
            match object.documents(gateway) {
                Ok(now) if of_it.first() == Some(&now) => {}
                Ok(now) => of_it.push(now),
                Err(error) => drop(reported.insert(id.clone(), cluster::explain(&error))),
            }
            tries.insert(id, of_it);
        }
        tries
    }
}

/// Notes which objects of one kind were added, removed and changed.
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

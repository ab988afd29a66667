//! The configuration in force, and its replacement while everything runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::cluster::{self, ClusterObject, Id};
use crate::files::{self, Source};
use crate::{Config, Env, Errors, load};

/// Holds the current [`Config`]. Reading it takes no lock; a reload replaces it as a whole.
#[derive(Debug)]
pub struct Store {
    paths: Vec<PathBuf>,
    env: Env,
    current: ArcSwap<Config>,
    /// Held through a reload, so that of two at once the later reading wins.
    cluster: Mutex<Cluster>,
}

/// What a cluster adds to the manifests.
#[derive(Debug, Default)]
struct Cluster {
    objects: Vec<ClusterObject>,
    /// The documents of each object as they were last in force.
    good: BTreeMap<Id, Source>,
    /// What was said of each object that is not in force as it is.
    said: BTreeMap<Id, String>,
}

/// What a reload brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// Whether anything is different. Comments and the order of documents make no difference.
    pub changed: bool,
    /// What is different, a line each: `model iris: added`.
    pub notes: Vec<String>,
    /// Objects of the cluster that are not in force as they are, and why: each said once.
    pub warnings: Vec<String>,
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
            cluster: Mutex::default(),
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

    /// From the next [reload](Self::reload) on, `objects` are what the cluster adds to the
    /// manifests.
    pub fn set_cluster(&self, mut objects: Vec<ClusterObject>) {
        // Of two that describe one model, the same one wins each time.
        objects.sort_by_key(ClusterObject::id);
        self.cluster().objects = objects;
    }

    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        // A panic under the lock leaves nothing half done: the swap is one step.
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the manifests again. The environment is that of the start: what comes from it alone
    /// cannot change.
    ///
    /// # Errors
    ///
    /// Everything that is wrong; what was in force stays in force. An object of the cluster that
    /// is wrong is none of that: it stays as it last was, or is left out.
    pub fn reload(&self) -> Result<Reloaded, Errors> {
        let mut cluster = self.cluster();
        let (new, warnings) = cluster.build(&self.paths, &self.env)?;
        let old = self.current();
        let mut notes = compare("server", &old.servers, &new.servers);
        notes.extend(compare("model", &old.models, &new.models));
        // Also if nothing is different: the lines that origins tell may have moved.
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
    /// The configuration with as much of the cluster's as fits, and what is new about the rest.
    fn build(&mut self, paths: &[PathBuf], env: &Env) -> Result<(Config, Vec<String>), Errors> {
        let mut errors = Vec::new();
        let sources = files::read(paths, &mut errors);
        let plain = load::build_with(&sources, &[], env, errors)?;
        let mut said = BTreeMap::new();
        let mut tries = self.tries(&plain, &mut said);
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
                said.entry(id.clone())
                    .or_insert_with(|| cluster::explain(error));
                dropped |= tries
                    .get_mut(&id)
                    .is_some_and(|tries| tries.pop().is_some());
            }
            if !dropped {
                // Manifests that are right by themselves are not undone by what a cluster adds.
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
        let news = said
            .iter()
            .filter(|(id, why)| self.said.get(*id) != Some(why));
        let warnings = news.map(warning).collect();
        self.said = said;
        Ok((config, warnings))
    }

    /// For each object that may be served, its documents: as they were last in force, and, to be
    /// tried first, as they are.
    fn tries(&self, plain: &Config, said: &mut BTreeMap<Id, String>) -> BTreeMap<Id, Vec<Source>> {
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
                said.insert(id, format!("{by} already"));
                continue;
            }
            taken.insert(model, format!("{id} describes model {model}"));
            let mut of_it: Vec<Source> = self.good.get(&id).cloned().into_iter().collect();
            match object.documents(gateway) {
                Ok(now) if of_it.first() == Some(&now) => {}
                Ok(now) => of_it.push(now),
                Err(error) => drop(said.insert(id.clone(), cluster::explain(&error))),
            }
            tries.insert(id, of_it);
        }
        tries
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

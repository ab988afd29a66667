//! The objects, their versions and their history: what etcd and the watch cache
//! are to the real server.
//!
//! One counter numbers every write to any object ("resource version", from
//! Kubernetes' API concepts). The history has every write since the last
//! compaction, so watches resume from it and lists can be had as of a version.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::Value;
use tokio::sync::watch;

use super::meta;

/// The key of an object: resource (`deployments.apps`), namespace and name. Lists are sorted by
/// it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// As [`super::resource::Resource`] shows itself.
    pub resource: String,
    /// Empty for what lives in no namespace.
    pub namespace: String,
    /// Unique in the namespace.
    pub name: String,
}

impl Key {
    /// A key.
    #[must_use]
    pub fn new(resource: &str, namespace: &str, name: &str) -> Self {
        Self {
            resource: resource.into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// Objects by key.
pub type Objects = BTreeMap<Key, Arc<Value>>;

/// One write.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its number.
    pub version: u64,
    /// What was written.
    pub key: Key,
    /// What it was before; none if it was created.
    pub before: Option<Arc<Value>>,
    /// What it is now, or was at its end, with this write's version.
    pub object: Arc<Value>,
    /// Whether the object exists afterwards.
    pub presence: Presence,
}

/// Whether an object exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It exists.
    Here,
    /// It has been deleted.
    Gone,
}

/// A version asked for is older than the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// What was asked for.
    pub asked: u64,
    /// The oldest that can be had.
    pub oldest: u64,
}

/// The store.
#[derive(Debug)]
pub struct Store {
    state: Mutex<State>,
    newest: watch::Sender<u64>,
}

/// What [`Store::lock`] gives: everything, consistent, for one transaction.
#[derive(Debug)]
pub struct State {
    version: u64,
    oldest: u64,
    objects: Objects,
    history: Vec<Event>,
}

/// The version of an empty store. Not small, so that nobody mistakes versions
/// for generations.
const FIRST: u64 = 1000;

impl Default for Store {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                version: FIRST,
                oldest: FIRST,
                objects: Objects::new(),
                history: Vec::new(),
            }),
            newest: watch::Sender::new(FIRST),
        }
    }
}

impl Store {
    /// Does `what` as one transaction, then wakes the watchers.
    ///
    /// # Panics
    /// If another transaction has panicked.
    pub fn transact<T>(&self, what: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = what(&mut state);
        self.newest
            .send_if_modified(|newest| std::mem::replace(newest, state.version) != state.version);
        result
    }

    /// Locks the store for reading.
    ///
    /// # Panics
    /// If a transaction has panicked.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no transaction panicked")
    }

    /// A receiver that is notified of each write.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}

impl State {
    /// The newest version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All objects as they are.
    #[must_use]
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The objects of a resource, in all namespaces.
    pub fn of(&self, resource: &str) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects
            .range(Key::new(resource, "", "")..)
            .take_while(move |(key, _)| key.resource == resource)
    }

    /// One object.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// Writes an object, new or not, and gives it back with its version.
    pub fn put(&mut self, key: Key, mut object: Value) -> Arc<Value> {
        self.version += 1;
        meta::set(&mut object, "resourceVersion", self.version.to_string());
        let object = Arc::new(object);
        let before = self.objects.insert(key.clone(), object.clone());
        self.history.push(Event {
            version: self.version,
            key,
            before,
            object: object.clone(),
            presence: Presence::Here,
        });
        object
    }

    /// Deletes an object; gives what it was, with the version of its deletion.
    pub fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let before = self.objects.remove(key)?;
        self.version += 1;
        let mut last = Value::clone(&before);
        meta::set(&mut last, "resourceVersion", self.version.to_string());
        let object = Arc::new(last);
        self.history.push(Event {
            version: self.version,
            key: key.clone(),
            before: Some(before),
            object: object.clone(),
            presence: Presence::Gone,
        });
        Some(object)
    }

    /// The writes after `version`.
    ///
    /// # Errors
    /// If some of them have been compacted away.
    pub fn since(&self, version: u64) -> Result<&[Event], Compacted> {
        self.check(version)?;
        let start = self.history.partition_point(|e| e.version <= version);
        Ok(&self.history[start..])
    }

    /// The objects of a resource as of `version`: the present ones with later
    /// writes undone.
    ///
    /// # Errors
    /// If it has been compacted away.
    pub fn at(&self, version: u64, resource: &str) -> Result<Objects, Compacted> {
        let mut objects: Objects = self
            .of(resource)
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect();
        for event in self.since(version)?.iter().rev() {
            if event.key.resource != resource {
                continue;
            }
            match &event.before {
                Some(before) => objects.insert(event.key.clone(), before.clone()),
                None => objects.remove(&event.key),
            };
        }
        Ok(objects)
    }

    fn check(&self, asked: u64) -> Result<(), Compacted> {
        if asked < self.oldest {
            return Err(Compacted {
                asked,
                oldest: self.oldest,
            });
        }
        Ok(())
    }

    /// Forgets the history: what is older than the newest version is gone.
    pub fn compact(&mut self) {
        // As time goes on in a real cluster, somebody writes something: else the
        // version that every client has would still be the newest one.
        self.version += 1;
        self.oldest = self.version;
        self.history.clear();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_as_of_a_version_undo_what_came_later() {
        let store = Store::default();
        let (a, b) = (Key::new("pods", "n", "a"), Key::new("pods", "n", "b"));
        let then = store.transact(|state| {
            state.put(a.clone(), json!({ "x": 1 }));
            state.version()
        });
        store.transact(|state| {
            state.put(a.clone(), json!({ "x": 2 }));
            state.put(b.clone(), json!({}));
            state.remove(&a);
        });
        let state = store.lock();
        let objects = state.at(then, "pods").unwrap();
        assert_eq!(objects.len(), 1);
        assert_eq!(objects[&a]["x"], 1);
        assert_eq!(state.of("pods").count(), 1);
        assert_eq!(state.since(then).unwrap().len(), 3);
    }

    #[test]
    fn compaction_takes_the_past() {
        let store = Store::default();
        let then = store.lock().version();
        store.transact(|state| state.put(Key::new("pods", "n", "a"), json!({})));
        store.transact(State::compact);
        let state = store.lock();
        assert!(state.since(then).is_err());
        assert!(state.since(state.version()).unwrap().is_empty());
    }
}

//! A double of the Kubernetes API server: the same protocol over objects in memory. It fails like
//! the real one, and a test can inject faults. It needs no cluster, no images and no TLS.
//!
//! ```no_run
//! use tailback_tests::kubernetes::{Double, failure::Failure};
//! let double = Double::start();
//! let account = double.service_account("default", "tailback");
//! std::fs::write("kubeconfig", account.kubeconfig())?;
//! double.faults().answer(2, "patch", "deployments/scale", Failure::too_many_requests(1));
//! # std::io::Result::Ok(())
//! ```
//!
//! [`server`] reads a request, [`routes`] parses its path, [`access`] authenticates and
//! authorises it, and [`faults`] may let it fail. [`operations`] carries it out by the rules of
//! [`registry`], [`patch`], [`managed`], [`scale`], [`lists`] and [`watch`] on the [`store`].
//! [`controllers`] are the other parts of a cluster.
//!
//! Differences from the real server: every kind of patch replaces lists as a whole, and a list
//! has one owner; it has only the kinds in [`resource`] and those that a test registers;
//! endpoints may be on the loopback interface; it speaks only JSON over HTTP/1.1.

pub mod access;
pub mod controllers;
mod credential;
pub mod discovery;
mod double;
pub mod failure;
pub mod faults;
pub mod kinds;
pub mod lists;
pub mod managed;
pub mod meta;
pub mod operations;
pub mod patch;
pub mod registry;
pub mod resource;
pub mod routes;
pub mod scale;
pub mod selector;
mod server;
pub mod store;
pub mod watch;

use std::sync::{Arc, Mutex, RwLock};

use serde_json::Value;

use self::{
    access::{Tokens, User},
    controllers::programs::Programs,
    failure::Failure,
    faults::Faults,
    managed::Writer,
    registry::{Deletion, Effect, Subresource, Write},
    resource::Resource,
    store::{Key, Store},
};
pub use self::{credential::Credential, double::Double};

/// The state that all its tasks share.
#[derive(Debug)]
pub struct Shared {
    /// The objects.
    pub store: Store,
    /// The injected faults.
    pub faults: Faults,
    tokens: Tokens,
    resources: RwLock<Vec<Arc<Resource>>>,
    journal: Mutex<Vec<Asked>>,
    connections: Connections,
    programs: Arc<Programs>,
}

/// The number of open connections, and the largest number so far.
#[derive(Clone, Debug, Default)]
struct Connections(Arc<Mutex<(usize, usize)>>);

/// A connection that is open.
struct Open(Connections);

// === impl Connections ===

impl Connections {
    fn open(&self) -> Open {
        let mut counts = self.0.lock().expect("connections");
        counts.0 += 1;
        counts.1 = counts.1.max(counts.0);
        Open(self.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Ok(mut counts) = self.0.0.lock() {
            counts.0 -= 1;
        }
    }
}

/// A request for objects that was answered, for tests to inspect.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The user.
    pub user: String,
    /// The verb, such as `patch`.
    pub verb: &'static str,
    /// The resource, such as `deployments/scale`.
    pub resource: String,
    /// Empty for all namespaces.
    pub namespace: String,
    /// Empty for a collection.
    pub name: String,
    /// The body of the request.
    pub body: Value,
    /// The status code of the response.
    pub code: u16,
}

// === impl Shared ===

impl Default for Shared {
    fn default() -> Self {
        Self {
            store: Store::default(),
            faults: Faults::default(),
            tokens: Tokens::default(),
            resources: RwLock::new(Resource::built_in().into_iter().map(Arc::new).collect()),
            journal: Mutex::default(),
            connections: Connections::default(),
            programs: Arc::default(),
        }
    }
}

impl Shared {
    fn resources(&self) -> Vec<Arc<Resource>> {
        self.resources.read().expect("resources").clone()
    }

    fn note(&self, asked: Asked) {
        if asked.user != User::Admin.name() {
            self.journal.lock().expect("journal").push(asked);
        }
    }

    fn resource(&self, name: &str) -> Arc<Resource> {
        let resources = self.resources();
        let found = resources.into_iter().find(|r| r.to_string() == name);
        found.unwrap_or_else(|| panic!("no resource {name} is registered"))
    }

    fn resource_of(&self, object: &Value) -> Arc<Resource> {
        let resources = self.resources();
        let found = resources
            .into_iter()
            .find(|r| object["kind"] == *r.kind && object["apiVersion"] == *r.api_version());
        found.unwrap_or_else(|| panic!("no such kind is registered: {object}"))
    }

    fn write<'a>(&self, resource: &'a Resource, manager: &str) -> Write<'a> {
        Write {
            resource,
            writer: Some(Writer {
                manager: manager.into(),
                api_version: resource.api_version(),
                subresource: String::new(),
            }),
            effect: Effect::Lasting,
        }
    }

    fn create(&self, object: Value) -> Result<Arc<Value>, Failure> {
        let resource = self.resource_of(&object);
        let namespace = meta::get(&object, "namespace").to_owned();
        let write = self.write(&resource, "test");
        self.store
            .transact(|state| write.create(state, &namespace, object))
    }

    fn list(&self, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        let state = self.store.lock();
        let all = state.of(resource);
        all.filter(|(key, _)| key.namespace == namespace)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// Merges `patch`; where it changes the status too, through that subresource.
    fn merge(&self, manager: &str, key: &Key, patch: &Value) -> Result<Arc<Value>, Failure> {
        let resource = self.resource(&key.resource);
        let mut write = self.write(&resource, manager);
        let merged = |old: &Value| {
            let mut new = old.clone();
            json_patch::merge(&mut new, patch);
            Ok(new)
        };
        self.store.transact(|state| {
            let changed = write.change(state, key, Subresource::Main, merged)?;
            if patch["status"].is_null() {
                return Ok(changed);
            }
            if let Some(writer) = &mut write.writer {
                writer.subresource = "status".into();
            }
            write.change(state, key, Subresource::Status, merged)
        })
    }

    fn delete(&self, key: &Key, how: &Deletion) -> Result<Arc<Value>, Failure> {
        let resource = self.resource(&key.resource);
        let write = self.write(&resource, "test");
        self.store.transact(|state| write.delete(state, key, how))
    }
}

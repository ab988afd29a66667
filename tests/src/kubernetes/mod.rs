//! A Kubernetes API server that is none: the same protocol over objects in
//! memory, good enough to fail like the real one, and made to fail when a test
//! says so. No cluster, no images, no TLS.
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
//! A request's way: [`server`] reads it, [`routes`] says what it asks for,
//! [`access`] who asks and whether they may, [`faults`] what goes wrong,
//! [`operations`] does it by the rules of [`registry`], [`patch`], [`managed`],
//! [`scale`], [`lists`] and [`watch`] on the [`store`]. [`controllers`] are what
//! else is in a cluster.
//!
//! Where it differs from the real one: lists are merged whole by every kind of
//! patch, and owned whole; only the kinds of [`resource`]'s table are there, and
//! those a test registers; endpoints may be on the loopback interface; it speaks
//! JSON only, over HTTP/1.1.

pub mod access;
pub mod controllers;
pub mod discovery;
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

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, RwLock},
};

use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime};

use self::{
    access::{Tokens, User},
    controllers::{
        kubelet::{self, Kubelet},
        programs::Programs,
    },
    failure::Failure,
    faults::Faults,
    managed::Writer,
    registry::{Deletion, Effect, Part, Write},
    resource::Resource,
    store::{Key, Store},
};

/// The server. It ends when this is dropped.
#[derive(Debug)]
pub struct Double {
    shared: Arc<Shared>,
    address: SocketAddr,
    admin: String,
    runtime: Option<Runtime>,
}

/// What all its tasks share.
#[derive(Debug)]
pub struct Shared {
    /// The objects.
    pub store: Store,
    /// What goes wrong.
    pub faults: Faults,
    tokens: Tokens,
    resources: RwLock<Vec<Arc<Resource>>>,
    journal: Mutex<Vec<Asked>>,
    programs: Arc<Programs>,
}

/// A request for objects that was answered, for tests to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Whose it was.
    pub user: String,
    /// `patch`.
    pub verb: &'static str,
    /// `deployments/scale`.
    pub resource: String,
    /// Empty for all.
    pub namespace: String,
    /// Empty for a collection.
    pub name: String,
    /// What it sent.
    pub body: Value,
    /// The answer's status code.
    pub code: u16,
}

/// What someone needs to ask the server something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Where the server is.
    pub server: SocketAddr,
    /// The namespace that is meant where none is said.
    pub namespace: String,
    /// The bearer token.
    pub token: String,
}

// === impl Double ===

impl Default for Double {
    fn default() -> Self {
        Self::start()
    }
}

impl Double {
    /// Starts it on a free port, with the namespaces `default` and `kube-system`.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn start() -> Self {
        Self::listen("127.0.0.1:0".parse().expect("an address"))
    }

    /// Starts it on this address.
    ///
    /// # Panics
    /// If that is not free.
    #[must_use]
    pub fn listen(address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("kubernetes")
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = std::net::TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("its address");
        listener.set_nonblocking(true).expect("a listener");
        let listener = {
            let _runtime = runtime.enter();
            TcpListener::from_std(listener).expect("a listener")
        };
        let shared = Arc::new(Shared {
            store: Store::default(),
            faults: Faults::default(),
            tokens: Tokens::default(),
            resources: RwLock::new(Resource::built_in().into_iter().map(Arc::new).collect()),
            journal: Mutex::default(),
            programs: Arc::default(),
        });
        runtime.spawn(server::serve(shared.clone(), listener, address));
        let admin = shared.tokens.issue(User::Admin);
        let double = Self {
            shared,
            address,
            admin,
            runtime: Some(runtime),
        };
        double.create_namespace("default");
        double.create_namespace("kube-system");
        double
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its faults.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Its objects as such.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Forgets the past: whoever resumes from it gets 410.
    pub fn compact(&self) {
        self.shared.store.transact(store::State::compact);
    }

    /// Adds a kind of object, as a custom resource definition does.
    ///
    /// # Panics
    /// If another use of the table did.
    pub fn register(&self, resource: Resource) {
        self.shared
            .resources
            .write()
            .expect("resources")
            .push(Arc::new(resource));
    }

    /// The requests so far, without the admin's.
    ///
    /// # Panics
    /// If another use of the journal did.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.journal.lock().expect("journal").clone()
    }

    /// Starts what else is in a cluster: the controllers of Deployments,
    /// ReplicaSets, StatefulSets and EndpointSlices, the garbage collector, and
    /// `kubelet`, which runs the pods.
    ///
    /// # Panics
    /// If the server has ended.
    pub fn run_controllers(&self, kubelet: Kubelet) {
        let runtime = self.runtime.as_ref().expect("it runs");
        runtime.spawn(controllers::run(self.shared.clone()));
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": kubelet::NODE },
        });
        let _ = self.create(node);
        let programs = self.shared.programs.clone();
        runtime.spawn(kubelet.run(self.shared.clone(), programs));
    }

    // === who may ask ===

    /// The test's own: may everything, and meets no faults.
    #[must_use]
    pub fn admin(&self) -> Credential {
        self.credential("default", self.admin.clone())
    }

    /// A service account that its Roles and ClusterRoles allow what they do,
    /// and nothing else; it is made if need be.
    #[must_use]
    pub fn service_account(&self, namespace: &str, name: &str) -> Credential {
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": name, "namespace": namespace },
        });
        let _ = self.create(account);
        let user = User::service_account(namespace, name);
        self.credential(namespace, self.shared.tokens.issue(user))
    }

    /// A service account `tailback` in `namespace` that may do everything there,
    /// so that only faults stand in its way.
    #[must_use]
    pub fn tailback(&self, namespace: &str) -> Credential {
        let credential = self.service_account(namespace, "tailback");
        self.grant(
            namespace,
            "tailback",
            &json!([
                { "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] },
            ]),
        );
        credential
    }

    /// Lets a service account do what these `rules` of a Role say, and nothing
    /// that they said before.
    ///
    /// # Panics
    /// If they are none.
    pub fn grant(&self, namespace: &str, account: &str, rules: &Value) {
        let api = "rbac.authorization.k8s.io/v1";
        let metadata = json!({ "name": account, "namespace": namespace });
        for object in [
            json!({ "apiVersion": api, "kind": "Role", "metadata": metadata, "rules": rules }),
            json!({
                "apiVersion": api, "kind": "RoleBinding", "metadata": metadata,
                "subjects": [{ "kind": "ServiceAccount", "name": account, "namespace": namespace }],
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account },
            }),
        ] {
            self.apply(object).expect("a role");
        }
    }

    /// Makes a token useless: it gets 401 from now on.
    pub fn revoke(&self, credential: &Credential) {
        self.shared.tokens.revoke(&credential.token);
    }

    fn credential(&self, namespace: &str, token: String) -> Credential {
        Credential {
            server: self.address,
            namespace: namespace.into(),
            token,
        }
    }

    // === objects, as the test's own hand ===

    /// Makes a namespace.
    ///
    /// # Panics
    /// If that is refused for any other reason than that it is there.
    pub fn create_namespace(&self, name: &str) {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name },
        });
        match self.create(namespace) {
            Err(failure) if failure.reason != "AlreadyExists" => panic!("{failure:?}"),
            _ => {}
        }
    }

    /// Creates an object of the kind and in the namespace it says.
    ///
    /// # Errors
    /// As a client would be refused.
    ///
    /// # Panics
    /// If no such kind is served.
    pub fn create(&self, object: Value) -> Result<Arc<Value>, Failure> {
        self.shared.create(object)
    }

    /// Creates an object, or replaces one of its name.
    ///
    /// # Errors
    /// As a client would be refused.
    ///
    /// # Panics
    /// If no such kind is served.
    pub fn apply(&self, object: Value) -> Result<Arc<Value>, Failure> {
        let resource = self.shared.resource_of(&object);
        let name = meta::name(&object).to_owned();
        let key = Key::new(
            &resource.to_string(),
            meta::get(&object, "namespace"),
            &name,
        );
        if self.shared.store.lock().get(&key).is_none() {
            return self.create(object);
        }
        let write = self.shared.write(&resource, "test");
        let store = &self.shared.store;
        store.transact(|state| write.change(state, &key, Part::Main, |_| Ok(object)))
    }

    /// An object: `get("deployments.apps", "default", "sample")`.
    #[must_use]
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let key = Key::new(resource, namespace, name);
        self.shared.store.lock().get(&key).cloned()
    }

    /// All objects of a resource in a namespace.
    #[must_use]
    pub fn list(&self, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        self.shared.list(resource, namespace)
    }

    /// Changes an object, its status included, by a merge patch (RFC 7386).
    ///
    /// # Errors
    /// As a client would be refused.
    pub fn merge(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Arc<Value>, Failure> {
        self.shared
            .merge("test", &Key::new(resource, namespace, name), patch)
    }

    /// Deletes an object at once.
    ///
    /// # Errors
    /// As a client would be refused.
    pub fn delete(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Arc<Value>, Failure> {
        let key = Key::new(resource, namespace, name);
        self.shared.delete(&key, &Deletion::now())
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.shared.programs.kill_all();
        // Not a plain drop, which may not happen inside another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

// === impl Credential ===

impl Credential {
    /// A kubeconfig with the token in it.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        server::kubeconfig(
            self.server,
            &self.namespace,
            &json!({ "token": self.token }),
        )
    }

    /// A kubeconfig that names a file with the token, which may be written anew:
    /// what a pod has in `/var/run/secrets/kubernetes.io/serviceaccount`.
    #[must_use]
    pub fn kubeconfig_with_token_file(&self, file: &std::path::Path) -> String {
        server::kubeconfig(self.server, &self.namespace, &json!({ "tokenFile": file }))
    }

    /// The same, asking through another address: a relay's.
    #[must_use]
    pub fn through(mut self, relay: SocketAddr) -> Self {
        self.server = relay;
        self
    }
}

// === impl Shared ===

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
            let changed = write.change(state, key, Part::Main, merged)?;
            if patch["status"].is_null() {
                return Ok(changed);
            }
            if let Some(writer) = &mut write.writer {
                writer.subresource = "status".into();
            }
            write.change(state, key, Part::Status, merged)
        })
    }

    fn delete(&self, key: &Key, how: &Deletion) -> Result<Arc<Value>, Failure> {
        let resource = self.resource(&key.resource);
        let write = self.write(&resource, "test");
        self.store.transact(|state| write.delete(state, key, how))
    }
}

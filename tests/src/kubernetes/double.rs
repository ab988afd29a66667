//! The server, and a test's methods to control it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime};

use super::{
    Asked, Credential, Shared,
    access::User,
    controllers::{
        self,
        kubelet::{self, Kubelet},
        pod::{self, Readiness},
    },
    failure::Failure,
    faults::Faults,
    meta,
    registry::{Deletion, Subresource},
    resource::Resource,
    server,
    store::{Key, State, Store},
};

/// The server. It ends when this is dropped.
#[derive(Debug)]
pub struct Double {
    pub(super) shared: Arc<Shared>,
    address: SocketAddr,
    admin: String,
    runtime: Option<Runtime>,
}

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
        Self::listen("127.0.0.1:0".parse().expect("an address")).expect("a free port")
    }

    /// Starts it on this address.
    ///
    /// # Errors If the address is not free.
    ///
    /// # Panics If no thread can be started.
    pub fn listen(address: SocketAddr) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("kubernetes")
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = std::net::TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let listener = {
            let _runtime = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let shared = Arc::new(Shared::default());
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
        Ok(double)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The faults that it injects.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Its objects.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Compacts the history: clients that resume from an older version get 410.
    pub fn compact(&self) {
        self.shared.store.transact(State::compact);
    }

    /// Adds a kind of object, as a custom resource definition does.
    ///
    /// # Panics If another thread has panicked while it used the table.
    pub fn register(&self, resource: Resource) {
        self.shared
            .resources
            .write()
            .expect("resources")
            .push(Arc::new(resource));
    }

    /// The requests so far, without the admin's.
    ///
    /// # Panics If another thread has panicked while it used the journal.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.journal.lock().expect("journal").clone()
    }

    /// The largest number of connections that were open at once.
    ///
    /// # Panics If another thread has panicked while it used the count.
    #[must_use]
    pub fn most_connections(&self) -> usize {
        self.shared.connections.0.lock().expect("connections").1
    }

    /// Starts the other parts of a cluster: the controllers of Deployments, ReplicaSets,
    /// StatefulSets and EndpointSlices, the garbage collector, and `kubelet`, which runs the
    /// pods.
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

    // === users ===

    /// The credentials of the test itself, which may do everything and never meets a fault.
    #[must_use]
    pub fn admin(&self) -> Credential {
        self.credential("default", self.admin.clone())
    }

    /// A service account with only the permissions of its Roles and ClusterRoles. Creates it if
    /// it does not exist.
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

    /// A service account `tailback` in `namespace` that may do everything there.
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

    /// Gives a service account a Role with these `rules`, in place of earlier ones.
    ///
    /// # Panics If they are not valid rules.
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

    /// Revokes a token: requests with it get 401.
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

    // === objects, changed by the test ===

    /// Creates a namespace, if it does not exist.
    ///
    /// # Panics If that is refused for another reason.
    pub fn create_namespace(&self, name: &str) {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name },
        });
        match self.create(namespace) {
            Err(failure) if failure.reason != "AlreadyExists" => panic!("{failure:?}"),
            _ => {}
        }
    }

    /// Creates an object, with the kind and namespace in it.
    ///
    /// # Errors
    /// The refusal that a client would get.
    ///
    /// # Panics
    /// If no such kind is served.
    pub fn create(&self, object: Value) -> Result<Arc<Value>, Failure> {
        self.shared.create(object)
    }

    /// Creates an object, or replaces one of its name.
    ///
    /// # Errors
    /// The refusal that a client would get.
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
        store.transact(|state| write.change(state, &key, Subresource::Main, |_| Ok(object)))
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
    /// The refusal that a client would get.
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
    /// The refusal that a client would get.
    pub fn delete(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Arc<Value>, Failure> {
        let key = Key::new(resource, namespace, name);
        self.shared.delete(&key, &Deletion::now())
    }

    // === pods, where no kubelet runs them ===

    /// Lets a pod run at `address`.
    ///
    /// # Errors
    /// The refusal that a kubelet would get.
    pub fn run_pod(
        &self,
        namespace: &str,
        name: &str,
        address: IpAddr,
        readiness: Readiness,
    ) -> Result<(), Failure> {
        let patch = json!({
            "spec": { "nodeName": kubelet::NODE },
            "status": pod::running(address, readiness),
        });
        let key = Key::new("pods", namespace, name);
        self.shared.merge("kubelet", &key, &patch).map(drop)
    }

    /// Lets a pod be gone, whatever its grace period.
    ///
    /// # Errors
    /// The refusal that a kubelet would get.
    pub fn end_pod(&self, namespace: &str, name: &str) -> Result<(), Failure> {
        let key = Key::new("pods", namespace, name);
        self.shared.delete(&key, &Deletion::now()).map(drop)
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

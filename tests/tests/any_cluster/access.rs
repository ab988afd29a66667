//! Access to a cluster: the test's own, and the proxies' as service accounts with the permissions
//! of a scenario.

use std::net::SocketAddr;

use k8s_openapi::api::{authentication::v1::TokenRequest, core::v1::ServiceAccount};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{Cluster, KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tailback_tests::kubernetes::Credential;

/// A kubeconfig, and its cluster.
pub struct Access {
    config: Kubeconfig,
    cluster: Cluster,
}

impl Access {
    /// That of `KUBECONFIG`, in its current context.
    pub fn current() -> Self {
        let config = Kubeconfig::read().expect("TAILBACK_TEST_KUBE=1 needs a kubeconfig");
        Self::of(config)
    }

    /// The double's.
    pub fn to_double(credential: &Credential) -> Self {
        Self::of(Kubeconfig::from_yaml(&credential.kubeconfig()).expect("a kubeconfig"))
    }

    fn of(config: Kubeconfig) -> Self {
        let current = config.current_context.clone().expect("a current context");
        let context = config.contexts.iter().find(|c| c.name == current);
        let context = context
            .and_then(|c| c.context.clone())
            .expect("that context");
        let cluster = config.clusters.iter().find(|c| c.name == context.cluster);
        let cluster = cluster
            .and_then(|c| c.cluster.clone())
            .expect("its cluster");
        Self { config, cluster }
    }

    pub async fn client(&self) -> Client {
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(self.config.clone(), &options).await;
        Client::try_from(config.expect("a usable kubeconfig")).expect("a client")
    }

    fn url(&self) -> http::Uri {
        let server = self
            .cluster
            .server
            .as_deref()
            .expect("the cluster's server");
        server.parse().expect("a URL")
    }

    /// Host and port of the API server.
    pub fn host(&self) -> String {
        let url = self.url();
        let host = url.host().expect("a host").trim_matches(['[', ']']);
        let default = if url.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let port = url.port_u16().unwrap_or(default);
        match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        }
    }

    /// A kubeconfig with a token, whose way to the same API server is through a
    /// relay: TLS is checked against the server's own name all the same.
    pub fn kubeconfig(&self, relay: SocketAddr, namespace: &str, token: &str) -> String {
        let url = self.url();
        let mut cluster = self.cluster.clone();
        let scheme = url.scheme_str().unwrap_or("https");
        cluster.server = Some(format!("{scheme}://{relay}"));
        if cluster.tls_server_name.is_none() && scheme == "https" {
            cluster.tls_server_name = url.host().map(|h| h.trim_matches(['[', ']']).to_owned());
        }
        // JSON is YAML.
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "cluster", "cluster": cluster }],
            "users": [{ "name": "user", "user": { "token": token } }],
            "contexts": [{
                "name": "context",
                "context": { "cluster": "cluster", "user": "user", "namespace": namespace },
            }],
            "current-context": "context",
        });
        config.to_string()
    }
}

/// A service account with a Role of its own.
pub fn account(name: &str, namespace: &str, rules: &Value) -> [Value; 3] {
    let metadata = json!({ "name": name });
    let api = "rbac.authorization.k8s.io/v1";
    [
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }),
        json!({ "apiVersion": api, "kind": "Role", "metadata": metadata, "rules": rules }),
        json!({
            "apiVersion": api, "kind": "RoleBinding", "metadata": metadata,
            "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": namespace }],
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
        }),
    ]
}

/// A token of a service account.
pub async fn token(client: &Client, namespace: &str, account: &str) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let request: TokenRequest =
        serde_json::from_value(json!({ "spec": { "audiences": [], "expirationSeconds": 3600 } }))
            .expect("a request");
    let answer = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await;
    answer.expect("a token").status.expect("a token").token
}

/// The permissions of a proxy in production, as in docs/reference/kubernetes.md.
pub fn all_rules() -> Value {
    let mut rules = rules_without_patch();
    let all = rules.as_array_mut().expect("a list");
    all.push(
        json!({ "apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"] }),
    );
    rules
}

/// The same without the permission to scale.
pub fn rules_without_patch() -> Value {
    json!([
        { "apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get"] },
        { "apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch"] },
        { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"] },
        { "apiGroups": [""], "resources": ["pods"], "verbs": ["patch"] },
        { "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update", "patch"] },
    ])
}

//! Credentials for the server, in the forms that clients read.

use std::{net::SocketAddr, path::Path};

use serde_json::{Value, json};

/// The credentials of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The server's address.
    pub server: SocketAddr,
    /// The default namespace.
    pub namespace: String,
    /// The bearer token.
    pub token: String,
}

impl Credential {
    /// A kubeconfig with the token in it.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        self.with_user(&json!({ "token": self.token }))
    }

    /// A kubeconfig that names a file with the token, which may be replaced, like the token in a
    /// pod's `/var/run/secrets/kubernetes.io/serviceaccount`.
    #[must_use]
    pub fn kubeconfig_with_token_file(&self, file: &Path) -> String {
        self.with_user(&json!({ "tokenFile": file }))
    }

    /// A kubeconfig, for a server without TLS, with this `user` entry.
    fn with_user(&self, user: &Value) -> String {
        // JSON is YAML.
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "double",
                "cluster": { "server": format!("http://{}", self.server) },
            }],
            "users": [{ "name": "user", "user": user }],
            "contexts": [{
                "name": "double",
                "context": { "cluster": "double", "user": "user", "namespace": self.namespace },
            }],
            "current-context": "double",
        });
        format!("{config:#}\n")
    }

    /// The same credentials at another address, such as a relay's.
    #[must_use]
    pub fn through(mut self, relay: SocketAddr) -> Self {
        self.server = relay;
        self
    }
}

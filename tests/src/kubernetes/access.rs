//! Authentication by bearer tokens, and authorisation by roles, like the real server's RBAC
//! authoriser.

use std::{collections::BTreeMap, sync::RwLock};

use serde_json::Value;

use super::{failure::Failure, meta, resource::Resource, store::State};

/// The user of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// The test itself: may do everything and never meets a fault.
    Admin,
    /// A user or a service account by its full name.
    Named(String),
    /// A request without a token.
    Anonymous,
}

/// The action of a request.
#[derive(Clone, Debug)]
pub struct Action<'a> {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`,
    /// `deletecollection`.
    pub verb: &'a str,
    /// The kind of object.
    pub resource: &'a Resource,
    /// `scale`, `status` or nothing.
    pub subresource: &'a str,
    /// Empty for all namespaces.
    pub namespace: &'a str,
    /// Empty for collections.
    pub name: &'a str,
}

/// The valid tokens and their users.
#[derive(Debug, Default)]
pub struct Tokens {
    users: RwLock<BTreeMap<String, User>>,
}

impl Tokens {
    /// Issues a token for a user.
    ///
    /// # Panics
    /// If another thread has panicked while it used the tokens.
    #[must_use]
    pub fn issue(&self, user: User) -> String {
        let token = format!("double-{}", meta::uid());
        self.users
            .write()
            .expect("tokens")
            .insert(token.clone(), user);
        token
    }

    /// Revokes a token.
    ///
    /// # Panics
    /// If another thread has panicked while it used the tokens.
    pub fn revoke(&self, token: &str) {
        self.users.write().expect("tokens").remove(token);
    }

    /// The user of the token in an `Authorization` header.
    ///
    /// # Errors 401 if the token is not valid.
    ///
    /// # Panics
    /// If another thread has panicked while it used the tokens.
    pub fn user(&self, authorization: Option<&str>) -> Result<User, Failure> {
        let Some(header) = authorization else {
            return Ok(User::Anonymous);
        };
        header
            .strip_prefix("Bearer ")
            .and_then(|token| {
                self.users
                    .read()
                    .expect("tokens")
                    .get(token.trim())
                    .cloned()
            })
            .ok_or_else(Failure::unauthorized)
    }
}

impl User {
    /// The service account `name` in `namespace`.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self::Named(format!("system:serviceaccount:{namespace}:{name}"))
    }

    /// The name in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Admin => "kubernetes-admin",
            Self::Named(name) => name,
            Self::Anonymous => "system:anonymous",
        }
    }

    fn groups(&self) -> Vec<String> {
        let name = self.name();
        let mut groups = Vec::new();
        if let Some(account) = name.strip_prefix("system:serviceaccount:") {
            let namespace = account.split(':').next().unwrap_or_default();
            groups.push("system:serviceaccounts".into());
            groups.push(format!("system:serviceaccounts:{namespace}"));
        }
        groups.push(match self {
            Self::Anonymous => "system:unauthenticated".into(),
            _ => "system:authenticated".into(),
        });
        groups
    }

    fn is_subject(&self, subject: &Value, namespace: &str) -> bool {
        let name = subject["name"].as_str().unwrap_or_default();
        match subject["kind"].as_str() {
            Some("ServiceAccount") => {
                let own = subject["namespace"].as_str().unwrap_or(namespace);
                self.name() == format!("system:serviceaccount:{own}:{name}")
            }
            Some("Group") => self.groups().iter().any(|group| group == name),
            _ => self.name() == name,
        }
    }

    /// Checks that this user may do `action`, by the Roles and ClusterRoles bound to it.
    ///
    /// # Errors 403 with the real server's message.
    pub fn authorise(&self, state: &State, action: &Action<'_>) -> Result<(), Failure> {
        if *self == Self::Admin || self.is_granted(state, action) {
            Ok(())
        } else {
            Err(self.forbidden(action))
        }
    }

    /// The 403 for `action`.
    #[must_use]
    pub fn forbidden(&self, action: &Action<'_>) -> Failure {
        let place = if action.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{}\"", action.namespace)
        };
        let why = format!(
            "User \"{}\" cannot {} resource \"{}\" in API group \"{}\" {place}",
            self.name(),
            action.verb,
            action.full_resource(),
            action.resource.group,
        );
        Failure::forbidden(action.resource, action.name, &why)
    }

    fn is_granted(&self, state: &State, action: &Action<'_>) -> bool {
        let bindings = |kind: &'static str| {
            state.of(kind).filter(|(key, binding)| {
                meta::list(binding, "/subjects")
                    .iter()
                    .any(|subject| self.is_subject(subject, &key.namespace))
            })
        };
        let in_namespace = bindings("rolebindings.rbac.authorization.k8s.io")
            .filter(|(key, _)| key.namespace == action.namespace);
        let everywhere = bindings("clusterrolebindings.rbac.authorization.k8s.io");
        in_namespace.chain(everywhere).any(|(key, binding)| {
            let reference = &binding["roleRef"];
            let (roles, namespace) = match reference["kind"].as_str() {
                Some("Role") => ("roles.rbac.authorization.k8s.io", key.namespace.as_str()),
                _ => ("clusterroles.rbac.authorization.k8s.io", ""),
            };
            let name = reference["name"].as_str().unwrap_or_default();
            state
                .get(&super::store::Key::new(roles, namespace, name))
                .is_some_and(|role| {
                    meta::list(role, "/rules")
                        .iter()
                        .any(|r| action.is_allowed(r))
                })
        })
    }
}

impl Action<'_> {
    /// `deployments/scale`.
    #[must_use]
    pub fn full_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.plural.clone()
        } else {
            format!("{}/{}", self.resource.plural, self.subresource)
        }
    }

    fn is_allowed(&self, rule: &Value) -> bool {
        let has = |field: &str, wanted: &str| {
            meta::list(&rule[field], "")
                .iter()
                .any(|v| v == wanted || v == "*")
        };
        let any_parent = format!("*/{}", self.subresource);
        let resource = has("resources", &self.full_resource())
            || (!self.subresource.is_empty() && has("resources", &any_parent));
        let names = meta::list(&rule["resourceNames"], "");
        has("verbs", self.verb)
            && has("apiGroups", &self.resource.group)
            && resource
            && (names.is_empty() || names.iter().any(|name| name == self.name))
    }
}

//! What a method and a path ask for.

use std::{collections::BTreeMap, sync::Arc};

use http::{Method, Uri};
use url::form_urlencoded;

use super::{
    access::Action,
    failure::Failure,
    resource::{Resource, Scope},
};

/// What is asked for.
#[derive(Clone, Debug)]
pub enum Route {
    /// What there is: `/api`, `/apis/…`, `/version`.
    Discovery(Vec<String>),
    /// `/healthz`, `/livez`, `/readyz`.
    Health,
    /// Something about a kind of object.
    Objects(Target),
}

/// A verb on objects.
#[derive(Clone, Debug)]
pub struct Target {
    /// What is to be done.
    pub verb: Verb,
    /// The kind.
    pub resource: Arc<Resource>,
    /// Empty for all, or for a kind without.
    pub namespace: String,
    /// Empty for a collection.
    pub name: String,
    /// `status`, `scale`, `token`, `binding` or nothing.
    pub subresource: String,
    /// The query.
    pub query: Query,
}

/// What is to be done with objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "Kubernetes' own verbs")]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

/// Query parameters.
#[derive(Clone, Debug, Default)]
pub struct Query(BTreeMap<String, String>);

impl Query {
    /// A parameter; empty if it is not there.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Whether a parameter is set to true.
    #[must_use]
    pub fn is_true(&self, name: &str) -> bool {
        matches!(self.get(name), "true" | "1")
    }

    /// A whole number.
    ///
    /// # Errors
    /// 400 if it is none.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        match self.get(name) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                Failure::bad_request(format!("Invalid value: {text:?}: {name} must be a number"))
            }),
        }
    }
}

impl Verb {
    /// As roles name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

impl Target {
    /// For the authoriser and for faults.
    #[must_use]
    pub fn action(&self) -> Action<'_> {
        Action {
            verb: self.verb.name(),
            resource: &self.resource,
            subresource: &self.subresource,
            namespace: &self.namespace,
            name: &self.name,
        }
    }
}

/// Reads a request's method and path.
///
/// # Errors
/// 404 for a path that leads nowhere, 405 for a method that it does not take.
pub fn parse(method: &Method, uri: &Uri, resources: &[Arc<Resource>]) -> Result<Route, Failure> {
    let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let query = Query(query.into_owned().collect());
    let parts: Vec<&str> = uri.path().split('/').filter(|p| !p.is_empty()).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["healthz" | "livez" | "readyz"] => return Ok(Route::Health),
        ["version" | "api" | "apis"] | ["api", _] | ["apis", _] | ["apis", _, _] => {
            return Ok(Route::Discovery(
                parts.iter().map(|p| (*p).into()).collect(),
            ));
        }
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return Err(Failure::no_such_path()),
    };
    let find = |plural: &str, scope: Scope| {
        resources
            .iter()
            .find(|r| {
                r.group == group && r.version == version && r.plural == plural && r.scope == scope
            })
            .cloned()
            .ok_or_else(Failure::no_such_path)
    };
    let any =
        |plural: &str| find(plural, Scope::Cluster).or_else(|_| find(plural, Scope::Namespace));
    let (resource, namespace, name, subresource) = match rest {
        ["namespaces", name, sub @ ("status" | "finalize")] if group.is_empty() => {
            (any("namespaces")?, "", *name, *sub)
        }
        ["namespaces", ns, plural] => (find(plural, Scope::Namespace)?, *ns, "", ""),
        ["namespaces", ns, plural, name] => (find(plural, Scope::Namespace)?, *ns, *name, ""),
        ["namespaces", ns, plural, name, sub] => {
            (find(plural, Scope::Namespace)?, *ns, *name, *sub)
        }
        [plural] => (any(plural)?, "", "", ""),
        [plural, name] => (find(plural, Scope::Cluster)?, "", *name, ""),
        [plural, name, sub] => (find(plural, Scope::Cluster)?, "", *name, *sub),
        _ => return Err(Failure::no_such_path()),
    };
    let verb = verb(method, name, subresource, &query)?;
    // All namespaces can be listed and watched together, not written to.
    let is_nowhere = resource.scope == Scope::Namespace && namespace.is_empty();
    if is_nowhere && !matches!(verb, Verb::List | Verb::Watch) {
        return Err(Failure::method_not_allowed());
    }
    if !has_subresource(&resource, subresource) {
        return Err(Failure::no_such_path());
    }
    Ok(Route::Objects(Target {
        verb,
        resource,
        namespace: namespace.into(),
        name: name.into(),
        subresource: subresource.into(),
        query,
    }))
}

fn verb(method: &Method, name: &str, subresource: &str, query: &Query) -> Result<Verb, Failure> {
    let is_creation = matches!(subresource, "token" | "binding");
    match (method.as_str(), name.is_empty()) {
        ("POST", _) if is_creation => Ok(Verb::Create),
        (_, _) if is_creation => Err(Failure::method_not_allowed()),
        ("GET" | "HEAD", true) if query.is_true("watch") => Ok(Verb::Watch),
        ("GET" | "HEAD", true) => Ok(Verb::List),
        ("GET" | "HEAD", false) => Ok(Verb::Get),
        ("POST", true) => Ok(Verb::Create),
        ("DELETE", true) => Ok(Verb::DeleteCollection),
        ("PUT", false) => Ok(Verb::Update),
        ("PATCH", false) => Ok(Verb::Patch),
        ("DELETE", false) if subresource.is_empty() => Ok(Verb::Delete),
        _ => Err(Failure::method_not_allowed()),
    }
}

fn has_subresource(resource: &Resource, name: &str) -> bool {
    match name {
        "" => true,
        "status" => resource.status == super::resource::StatusPart::Subresource,
        "scale" => resource.scale.is_some(),
        "token" => resource.kind == "ServiceAccount",
        "binding" => resource.kind == "Pod",
        _ => false,
    }
}

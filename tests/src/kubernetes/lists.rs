//! Lists, in pages and as of a version, and where watches begin (Kubernetes'
//! API concepts, "Resource versions" and "Retrieving large results sets in
//! chunks").

use serde_json::{Value, json};

use super::{
    failure::Failure,
    meta,
    resource::Resource,
    routes::Target,
    store::{Key, Objects, State},
    watch::{Bookmarks, Request, Start, too_old},
};

/// Where a page ended: a version, and the last object. Opaque to clients.
struct Continue {
    version: u64,
    last: Key,
}

/// The list that is asked for.
///
/// # Errors
/// 410 for a version or a continue token that has been compacted away, 504 for a
/// version that is not there yet, 400 for parameters that cannot be read.
pub fn list(state: &State, target: &Target) -> Result<Value, Failure> {
    let resource = target.resource.to_string();
    let query = &target.query;
    let asked = query.number("resourceVersion")?;
    if let Some(asked) = asked.filter(|asked| *asked > state.version()) {
        return Err(Failure::version_too_large(asked, state.version()));
    }
    let from = match query.get("continue") {
        "" => None,
        token => Some(Continue::parse(token, &resource)?),
    };
    let is_exact = query.get("resourceVersionMatch") == "Exact";
    let version = match (&from, asked) {
        (Some(from), _) => from.version,
        (None, Some(asked)) if is_exact => asked,
        _ => state.version(),
    };
    let objects = state.at(version, &resource).map_err(|lost| match from {
        Some(_) => Failure::expired(
            "The provided continue parameter is too old to display a consistent list result. You \
             can start a new list without the continue parameter.",
        ),
        None => too_old(&lost),
    })?;
    let limit = match query.number("limit")? {
        // Served from the watch cache, which knows no pages.
        _ if asked == Some(0) => None,
        limit => limit
            .filter(|n| *n > 0)
            .and_then(|n| usize::try_from(n).ok()),
    };
    page(target, &objects, version, from.map(|f| f.last), limit)
}

fn page(
    target: &Target,
    objects: &Objects,
    version: u64,
    after: Option<Key>,
    limit: Option<usize>,
) -> Result<Value, Failure> {
    let resource = &target.resource;
    let selector = target.selector()?;
    let mut rest = objects.iter().filter(|(key, object)| {
        (target.namespace.is_empty() || key.namespace == target.namespace)
            && after.as_ref().is_none_or(|last| *key > last)
            && (target.name.is_empty() || key.name == target.name)
            && selector.matches(object)
    });
    let mut items = Vec::new();
    let mut last = None;
    for (key, object) in rest.by_ref().take(limit.unwrap_or(usize::MAX)) {
        items.push(item(resource, object));
        last = Some(key);
    }
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    let remaining = rest.count();
    if let Some(last) = last.filter(|_| remaining > 0) {
        let token = Continue {
            version,
            last: last.clone(),
        };
        metadata["continue"] = token.text().into();
        metadata["remainingItemCount"] = remaining.into();
    }
    Ok(json!({
        "kind": format!("{}List", resource.kind),
        "apiVersion": resource.api_version(),
        "metadata": metadata,
        "items": items,
    }))
}

/// In lists of the built-in kinds the real server leaves out what kind the items
/// are.
fn item(resource: &Resource, object: &Value) -> Value {
    let mut item = object.clone();
    if let Some(all) = item.as_object_mut().filter(|_| !resource.is_custom()) {
        all.remove("kind");
        all.remove("apiVersion");
    }
    item
}

/// The watch that is asked for.
///
/// # Errors
/// 400 for parameters that cannot be read, 422 for a combination that is not.
pub fn watch(state: &State, target: &Target) -> Result<Request, Failure> {
    let query = &target.query;
    let version = query.number("resourceVersion")?.filter(|v| *v > 0);
    let with_initial = query.is_true("sendInitialEvents");
    let is_matched = query.get("resourceVersionMatch") == "NotOlderThan";
    if with_initial != is_matched {
        let why = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to \
                   NotOlderThan, and the other way round";
        return Err(Failure::invalid(
            "meta.k8s.io",
            "ListOptions",
            "",
            "resourceVersionMatch",
            why,
        ));
    }
    if let Some(asked) = version.filter(|v| with_initial && *v > state.version()) {
        return Err(Failure::version_too_large(asked, state.version()));
    }
    let start = match version {
        _ if with_initial => Start::PresentThenBookmark,
        Some(version) => Start::After(version),
        None => Start::Present,
    };
    Ok(Request {
        resource: target.resource.clone(),
        namespace: target.namespace.clone(),
        selector: target.selector()?,
        start,
        bookmarks: match query.is_true("allowWatchBookmarks") {
            true => Bookmarks::Wanted,
            false => Bookmarks::Unwanted,
        },
        timeout: query.timeout()?,
    })
}

impl Continue {
    fn text(&self) -> String {
        // None of these parts has a colon.
        format!(
            "{}:{}:{}",
            self.version, self.last.namespace, self.last.name
        )
    }

    fn parse(token: &str, resource: &str) -> Result<Self, Failure> {
        let mut parts = token.splitn(3, ':');
        let version = parts.next().and_then(|text| text.parse().ok());
        match (version, parts.next(), parts.next()) {
            (Some(version), Some(namespace), Some(name)) => Ok(Self {
                version,
                last: Key::new(resource, namespace, name),
            }),
            _ => Err(Failure::bad_request("continue key is not valid")),
        }
    }
}

impl Resource {
    /// Whether a custom resource definition brought it.
    #[must_use]
    pub fn is_custom(&self) -> bool {
        self.group.contains('.') && !self.group.ends_with(".k8s.io")
    }
}

/// A reference to an object, as owners and targets have it.
#[must_use]
pub fn reference(object: &Value) -> Value {
    json!({
        "apiVersion": object["apiVersion"],
        "kind": object["kind"],
        "name": meta::name(object),
        "uid": meta::get(object, "uid"),
    })
}

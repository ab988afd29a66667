//! Carries out the verbs on objects, from the request's body to the response.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    Shared,
    access::User,
    failure::Failure,
    lists,
    managed::Writer,
    meta,
    patch::Patch,
    registry::{Deletion, Effect, Subresource, Write},
    routes::{Query, Target, Verb},
    scale,
    selector::Selector,
    store::{Key, State},
    watch,
};

/// A request's body, and the header fields about it.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// The body.
    pub body: bytes::Bytes,
    /// `content-type`.
    pub content_type: String,
    /// `user-agent`.
    pub agent: String,
}

/// The response.
#[derive(Debug)]
pub enum Reply {
    /// An object with this status code.
    Object(u16, Value),
    /// A stream of events.
    Watch(watch::Request),
}

/// Carries out a request.
///
/// # Errors
/// The refusal of the real server.
pub fn execute(shared: &Shared, target: &Target, content: &Content) -> Result<Reply, Failure> {
    let found = |object: Value| Ok(Reply::Object(200, object));
    match target.verb {
        Verb::Get => found(get(&shared.store.lock(), target)?),
        Verb::List => found(lists::list(&shared.store.lock(), target)?),
        Verb::Watch => Ok(Reply::Watch(lists::watch(&shared.store.lock(), target)?)),
        Verb::Create if target.subresource == "token" => token(shared, target),
        _ => shared.store.transact(|state| write(state, target, content)),
    }
}

fn get(state: &State, target: &Target) -> Result<Value, Failure> {
    let object = state
        .get(&target.key())
        .ok_or_else(|| Failure::not_found(&target.resource, &target.name))?;
    match (&target.resource.scale, target.subresource.as_str()) {
        (Some(paths), "scale") => scale::read(object, paths),
        _ => Ok(Value::clone(object)),
    }
}

fn write(state: &mut State, target: &Target, content: &Content) -> Result<Reply, Failure> {
    let write = write_of(target, content)?;
    let found = |object: Arc<Value>| Ok(Reply::Object(200, Value::clone(&object)));
    match target.verb {
        Verb::Create if target.subresource == "binding" => bind(state, target, &write, content),
        Verb::Create => {
            let object = write.create(state, &target.namespace, object(content)?)?;
            Ok(Reply::Object(201, Value::clone(&object)))
        }
        Verb::Update => update(state, target, &write, content),
        Verb::Patch => patch(state, target, write, content),
        Verb::Delete => {
            let how = deletion(target, content)?;
            let last = write.delete(state, &target.key(), &how)?;
            if target.resource.kind == "Pod" || state.get(&target.key()).is_some() {
                found(last)
            } else {
                Ok(Reply::Object(200, deleted(target, &last)))
            }
        }
        Verb::DeleteCollection => {
            let how = deletion(target, content)?;
            let list = lists::list(state, target)?;
            for object in meta::list(&list, "/items") {
                let resource = target.resource.to_string();
                let key = Key::new(
                    &resource,
                    meta::get(object, "namespace"),
                    meta::name(object),
                );
                write.delete(state, &key, &how)?;
            }
            Ok(Reply::Object(200, list))
        }
        Verb::Get | Verb::List | Verb::Watch => Err(Failure::method_not_allowed()),
    }
}

fn update(
    state: &mut State,
    target: &Target,
    write: &Write<'_>,
    content: &Content,
) -> Result<Reply, Failure> {
    let resource = &target.resource;
    let new = object(content)?;
    if let (Some(paths), "scale") = (&resource.scale, target.subresource.as_str()) {
        let changed = write.change(state, &target.key(), Subresource::Main, |old| {
            scale::write(resource, old, paths, &new)
        })?;
        return Ok(Reply::Object(200, scale::of(&changed, paths)));
    }
    // Leases and custom resources have no unconditional updates (kubernetes,
    // `AllowUnconditionalUpdate` of their strategies).
    let is_conditional = resource.kind == "Lease" || resource.is_custom();
    if is_conditional && meta::get(&new, "resourceVersion").is_empty() {
        let why = "Invalid value: 0: must be specified for an update";
        return Err(Failure::invalid(
            &resource.group,
            &resource.kind,
            &target.name,
            "metadata.resourceVersion",
            why,
        ));
    }
    let changed = write.change(state, &target.key(), target.part(), |_| Ok(new))?;
    Ok(Reply::Object(200, Value::clone(&changed)))
}

fn patch(
    state: &mut State,
    target: &Target,
    mut write: Write<'_>,
    content: &Content,
) -> Result<Reply, Failure> {
    let resource = &target.resource;
    let patch = Patch::parse(
        &content.content_type,
        &content.body,
        target.query.get("force"),
    )?;
    let writer = write
        .writer
        .clone()
        .unwrap_or_else(|| writer(target, content));
    if let Patch::Apply(applied, _) = &patch {
        if target.query.get("fieldManager").is_empty() {
            return Err(Failure::bad_request(
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
            ));
        }
        if state.get(&target.key()).is_none() && target.subresource.is_empty() {
            let mut object = applied.clone();
            if !object["metadata"].is_object() {
                object["metadata"] = json!({});
            }
            meta::set(&mut object, "name", target.name.clone());
            // Created bare and applied in one transaction, so that the fields
            // are owned as applied ones.
            let bare = Write {
                writer: None,
                ..write.clone()
            };
            let created = bare.create(state, &target.namespace, object)?;
            if write.effect == Effect::DryRun {
                return Ok(Reply::Object(201, Value::clone(&created)));
            }
        }
        write.writer = None;
    }
    if let (Some(paths), "scale") = (&resource.scale, target.subresource.as_str()) {
        let changed = write.change(
            state,
            &target.key(),
            Subresource::Main,
            |old| match &patch {
                // Ownership is that of the parent's fields.
                Patch::Apply(applied, contested) => {
                    let replicas = json!({ "spec": { "replicas": applied["spec"]["replicas"] } });
                    let checked = scale::write(resource, old, paths, applied)?;
                    let apply = Patch::Apply(replicas, *contested);
                    apply.apply(&checked_version(old, &checked), &writer)
                }
                _ => {
                    let patched = patch.apply(&scale::of(old, paths), &writer)?;
                    scale::write(resource, old, paths, &patched)
                }
            },
        )?;
        return Ok(Reply::Object(200, scale::of(&changed, paths)));
    }
    let changed = write.change(state, &target.key(), target.part(), |old| {
        patch.apply(old, &writer)
    })?;
    Ok(Reply::Object(200, Value::clone(&changed)))
}

/// `old`, claiming the version that was asked for.
fn checked_version(old: &Value, asked: &Value) -> Value {
    let mut object = old.clone();
    meta::set(
        &mut object,
        "resourceVersion",
        meta::get(asked, "resourceVersion"),
    );
    object
}

/// What the scheduler does: gives a pod its node.
fn bind(
    state: &mut State,
    target: &Target,
    write: &Write<'_>,
    content: &Content,
) -> Result<Reply, Failure> {
    let binding = object(content)?;
    write.change(state, &target.key(), Subresource::Main, |old| {
        let mut pod = old.clone();
        pod["spec"]["nodeName"] = binding["target"]["name"].clone();
        Ok(pod)
    })?;
    Ok(Reply::Object(
        201,
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 }),
    ))
}

/// A token for a service account: `authentication.k8s.io/v1` TokenRequest.
fn token(shared: &Shared, target: &Target) -> Result<Reply, Failure> {
    if shared.store.lock().get(&target.key()).is_none() {
        return Err(Failure::not_found(&target.resource, &target.name));
    }
    let user = User::service_account(&target.namespace, &target.name);
    let expiry = Timestamp::now() + SignedDuration::from_hours(1);
    Ok(Reply::Object(
        201,
        json!({
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": { "name": target.name, "namespace": target.namespace },
            "spec": { "audiences": [], "expirationSeconds": 3600 },
            "status": { "token": shared.tokens.issue(user), "expirationTimestamp": meta::time(expiry) },
        }),
    ))
}

fn deleted(target: &Target, last: &Value) -> Value {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {
            "name": target.name,
            "group": target.resource.group,
            "kind": target.resource.plural,
            "uid": meta::get(last, "uid"),
        },
    })
}

// === reading the request ===

impl Target {
    /// The key of its object.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::new(&self.resource.to_string(), &self.namespace, &self.name)
    }

    fn part(&self) -> Subresource {
        match self.subresource.as_str() {
            "status" => Subresource::Status,
            _ => Subresource::Main,
        }
    }

    /// The selection of objects that it is about.
    ///
    /// # Errors
    /// 400 if a selector cannot be read.
    pub fn selector(&self) -> Result<Selector, Failure> {
        Selector::parse(
            self.query.get("labelSelector"),
            self.query.get("fieldSelector"),
        )
    }
}

impl Query {
    /// `timeoutSeconds`; without it half an hour, as the real server has it.
    ///
    /// # Errors 400 if it is not a number.
    pub fn timeout(&self) -> Result<Duration, Failure> {
        let seconds = self.number("timeoutSeconds")?.filter(|s| *s > 0);
        Ok(Duration::from_secs(seconds.unwrap_or(1800)))
    }
}

fn object(content: &Content) -> Result<Value, Failure> {
    serde_json::from_slice(&content.body).map_err(|error| {
        Failure::bad_request(format!(
            "the object provided is unrecognized (must be of type JSON): {error}"
        ))
    })
}

fn write_of<'a>(target: &'a Target, content: &Content) -> Result<Write<'a>, Failure> {
    let effect = match target.query.get("dryRun") {
        "" => Effect::Lasting,
        "All" => Effect::DryRun,
        other => {
            return Err(Failure::bad_request(format!(
                "dryRun: Unsupported value: {other:?}"
            )));
        }
    };
    Ok(Write {
        resource: &target.resource,
        writer: Some(writer(target, content)),
        effect,
    })
}

fn writer(target: &Target, content: &Content) -> Writer {
    let manager = match target.query.get("fieldManager") {
        "" => content.agent.split('/').next().unwrap_or_default(),
        manager => manager,
    };
    Writer {
        manager: if manager.is_empty() {
            "unknown"
        } else {
            manager
        }
        .into(),
        api_version: target.resource.api_version(),
        subresource: target.subresource.clone(),
    }
}

fn deletion(target: &Target, content: &Content) -> Result<Deletion, Failure> {
    let options = if content.body.is_empty() {
        Value::Null
    } else {
        object(content)?
    };
    let text = |pointer: &str| {
        options
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(Into::into)
    };
    let in_query = target.query.number("gracePeriodSeconds")?;
    Ok(Deletion {
        grace: in_query
            .map(|n| i64::try_from(n).unwrap_or(i64::MAX))
            .or_else(|| options["gracePeriodSeconds"].as_i64()),
        uid: text("/preconditions/uid"),
        version: text("/preconditions/resourceVersion"),
    })
}

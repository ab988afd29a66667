//! Creates, changes and deletes objects: identity, optimistic concurrency, generations,
//! finalizers, and grace periods.
//!
//! The rules are those of the real server's generic registry (apiserver,
//! `pkg/registry/rest` and `pkg/registry/generic/registry/store.go`).

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    failure::Failure,
    kinds,
    managed::{self, Writer},
    meta,
    resource::{Resource, Scope, StatusPart},
    store::{Key, State},
};

/// What a write is allowed to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subresource {
    /// All but the status, if that is a subresource.
    Main,
    /// The status, and the metadata's labels, annotations and finalizers.
    Status,
}

/// Whether a write is kept: the `dryRun` parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is kept.
    Lasting,
    /// Everything is done except keeping it.
    DryRun,
}

/// The parameters of a write.
#[derive(Clone, Debug)]
pub struct Write<'a> {
    /// The kind of object.
    pub resource: &'a Resource,
    /// The writer for field management; `None` for an apply, which manages fields itself.
    pub writer: Option<Writer>,
    /// Whether it is kept.
    pub effect: Effect,
}

/// The options of a delete: `DeleteOptions`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deletion {
    /// `gracePeriodSeconds`.
    pub grace: Option<i64>,
    /// `preconditions.uid`.
    pub uid: Option<String>,
    /// `preconditions.resourceVersion`.
    pub version: Option<String>,
}

impl Deletion {
    /// Without a grace period, as the kubelet removes a pod that has ended.
    #[must_use]
    pub fn now() -> Self {
        Self {
            grace: Some(0),
            ..Self::default()
        }
    }
}

impl Write<'_> {
    /// Creates an object in a namespace.
    ///
    /// # Errors
    /// The refusal of the real server.
    pub fn create(
        &self,
        state: &mut State,
        namespace: &str,
        mut object: Value,
    ) -> Result<Arc<Value>, Failure> {
        let resource = self.resource;
        self.identify(&mut object, namespace)?;
        let prefix = meta::get(&object, "generateName").to_owned();
        if meta::name(&object).is_empty() && !prefix.is_empty() {
            meta::set(&mut object, "name", prefix + &meta::suffix(5));
        }
        let name = meta::name(&object).to_owned();
        if name.is_empty() {
            return Err(self.invalid(
                "",
                "metadata.name",
                "Required value: name or generateName is required",
            ));
        }
        if !meta::get(&object, "resourceVersion").is_empty() {
            return Err(Failure::internal(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        let key = Key::new(&resource.to_string(), namespace, &name);
        if state.get(&key).is_some() {
            return Err(Failure::already_exists(resource, &name));
        }
        if resource.scope == Scope::Namespace {
            self.check_namespace(state, namespace, &name)?;
        }
        if resource.status == StatusPart::Subresource {
            object.as_object_mut().map(|o| o.remove("status"));
        }
        kinds::fill(resource, &mut object);
        kinds::check(resource, &object)?;
        meta::set(&mut object, "uid", meta::uid());
        meta::set(&mut object, "creationTimestamp", meta::now());
        meta::unset(&mut object, "deletionTimestamp");
        if resource.has_generation() {
            meta::set(&mut object, "generation", 1);
        }
        if let Some(writer) = &self.writer {
            meta::unset(&mut object, "managedFields");
            managed::record_update(&json!({}), &mut object, writer);
        }
        Ok(self.commit(state, key, object))
    }

    /// Changes an object to what `edit` makes of it.
    ///
    /// # Errors
    /// 404 if there is none, 409 if `edit` was made from another version, and as
    /// `edit` or the rules of its kind say.
    pub fn change(
        &self,
        state: &mut State,
        key: &Key,
        part: Subresource,
        edit: impl FnOnce(&Value) -> Result<Value, Failure>,
    ) -> Result<Arc<Value>, Failure> {
        let resource = self.resource;
        let old = state
            .get(key)
            .cloned()
            .ok_or_else(|| Failure::not_found(resource, &key.name))?;
        let mut new = edit(&old)?;
        self.identify(&mut new, &key.namespace)?;
        if meta::name(&new) != key.name {
            return Err(Failure::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({})",
                meta::name(&new),
                key.name
            )));
        }
        let asked = meta::get(&new, "resourceVersion");
        if !asked.is_empty() && asked != "0" && asked != meta::get(&old, "resourceVersion") {
            return Err(Failure::conflict(resource, &key.name));
        }
        let uid = meta::get(&new, "uid");
        if !uid.is_empty() && uid != meta::get(&old, "uid") {
            let have = meta::get(&old, "uid");
            return Err(Failure::precondition(resource, &key.name, "UID", uid, have));
        }
        for field in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "generation",
            "generateName",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ] {
            match old["metadata"].get(field) {
                Some(value) => meta::set(&mut new, field, value.clone()),
                None => meta::unset(&mut new, field),
            }
        }
        match part {
            Subresource::Main if resource.status == StatusPart::Subresource => {
                restore(&old, &mut new, "status")
            }
            Subresource::Main => {}
            Subresource::Status => restore(&old, &mut new, "spec"),
        }
        kinds::check(resource, &new)?;
        if let Some(writer) = &self.writer {
            restore(&old["metadata"], &mut new["metadata"], "managedFields");
            managed::record_update(&old, &mut new, writer);
        }
        if resource.has_generation() && changed_beyond_status(&old, &new) {
            let generation = meta::number(&old, "/metadata/generation").unwrap_or(0);
            meta::set(&mut new, "generation", generation + 1);
        }
        // A write that changes nothing is none: the version stays.
        if new == *old {
            return Ok(old);
        }
        if meta::is_terminating(&new)
            && meta::list(&new, "/metadata/finalizers").is_empty()
            && meta::number(&new, "/metadata/deletionGracePeriodSeconds").unwrap_or(0) == 0
            && self.effect == Effect::Lasting
        {
            state.put(key.clone(), new);
            return state
                .remove(key)
                .ok_or_else(|| Failure::not_found(resource, &key.name));
        }
        Ok(self.commit(state, key.clone(), new))
    }

    /// Deletes an object, or marks it as terminating if it has finalizers or a grace period.
    ///
    /// # Errors
    /// 404 if there is none, 409 if a precondition does not hold.
    pub fn delete(
        &self,
        state: &mut State,
        key: &Key,
        how: &Deletion,
    ) -> Result<Arc<Value>, Failure> {
        let resource = self.resource;
        let old = state
            .get(key)
            .cloned()
            .ok_or_else(|| Failure::not_found(resource, &key.name))?;
        for (want, what, field) in [
            (&how.uid, "UID", "uid"),
            (&how.version, "ResourceVersion", "resourceVersion"),
        ] {
            let have = meta::get(&old, field);
            if let Some(want) = want.as_deref().filter(|want| *want != have) {
                return Err(Failure::precondition(resource, &key.name, what, want, have));
            }
        }
        if self.effect == Effect::DryRun {
            return Ok(old);
        }
        let grace = kinds::grace(resource, &old, how.grace);
        let is_held = !meta::list(&old, "/metadata/finalizers").is_empty();
        if grace == 0 && !is_held {
            let last = state
                .remove(key)
                .ok_or_else(|| Failure::not_found(resource, &key.name))?;
            if resource.kind == "Namespace" {
                empty(state, &key.name);
            }
            return Ok(last);
        }
        if meta::is_terminating(&old)
            && grace >= meta::number(&old, "/metadata/deletionGracePeriodSeconds").unwrap_or(0)
        {
            return Ok(old);
        }
        let mut new = Value::clone(&old);
        let end = Timestamp::now() + SignedDuration::from_secs(grace);
        meta::set(&mut new, "deletionTimestamp", meta::time(end));
        meta::set(&mut new, "deletionGracePeriodSeconds", grace);
        if resource.has_generation() {
            let generation = meta::number(&old, "/metadata/generation").unwrap_or(0);
            meta::set(&mut new, "generation", generation + 1);
        }
        Ok(state.put(key.clone(), new))
    }

    fn commit(&self, state: &mut State, key: Key, object: Value) -> Arc<Value> {
        match self.effect {
            Effect::Lasting => state.put(key, object),
            Effect::DryRun => Arc::new(object),
        }
    }

    /// Checks that `object` is of the kind and namespace the path says, and
    /// says so in it.
    fn identify(&self, object: &mut Value, namespace: &str) -> Result<(), Failure> {
        let resource = self.resource;
        if !object.is_object() {
            return Err(Failure::bad_request(
                "the object provided is unrecognized: it is not a JSON object",
            ));
        }
        for (field, expected) in [
            ("apiVersion", resource.api_version()),
            ("kind", resource.kind.clone()),
        ] {
            match object[field].as_str() {
                Some(found) if found != expected => {
                    return Err(Failure::bad_request(format!(
                        "the {field} in the data ({found}) does not match the expected {field} ({expected})"
                    )));
                }
                _ => object[field] = expected.into(),
            }
        }
        if !object["metadata"].is_object() {
            object["metadata"] = json!({});
        }
        let found = meta::get(object, "namespace");
        if !found.is_empty() && found != namespace {
            return Err(Failure::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        if resource.scope == Scope::Namespace {
            meta::set(object, "namespace", namespace);
        }
        Ok(())
    }

    fn check_namespace(&self, state: &State, namespace: &str, name: &str) -> Result<(), Failure> {
        match state.get(&Key::new("namespaces", "", namespace)) {
            None => {
                let namespaces = Resource::new("", "v1", "namespaces", "Namespace");
                Err(Failure::not_found(&namespaces, namespace))
            }
            Some(found) if meta::is_terminating(found) => Err(Failure::forbidden(
                self.resource,
                name,
                &format!(
                    "unable to create new content in namespace {namespace} because it is being terminated"
                ),
            )),
            Some(_) => Ok(()),
        }
    }

    fn invalid(&self, name: &str, field: &str, why: &str) -> Failure {
        Failure::invalid(&self.resource.group, &self.resource.kind, name, field, why)
    }
}

fn restore(old: &Value, new: &mut Value, field: &str) {
    match old.get(field) {
        Some(value) => new[field] = value.clone(),
        None => {
            new.as_object_mut().map(|o| o.remove(field));
        }
    }
}

fn changed_beyond_status(old: &Value, new: &Value) -> bool {
    let rest = |object: &Value| {
        let mut object = object.clone();
        if let Some(all) = object.as_object_mut() {
            all.remove("status");
            all.remove("metadata");
        }
        object
    };
    rest(old) != rest(new)
}

/// What the namespace controller does when a namespace goes.
fn empty(state: &mut State, namespace: &str) {
    let inside: Vec<Key> = state
        .objects()
        .keys()
        .filter(|key| key.namespace == namespace)
        .cloned()
        .collect();
    for key in inside {
        state.remove(&key);
    }
}

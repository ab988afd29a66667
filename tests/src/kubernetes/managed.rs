//! Field management: who wrote which field last, kept in
//! `metadata.managedFields`, and server-side apply, which rests on it
//! (Kubernetes' docs, "Server-Side Apply").
//!
//! Simpler than the real one in one respect: a list is one field, owned whole,
//! where the real one knows which lists are maps by key.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{failure::Failure, meta};

/// Who writes, and through what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The `fieldManager` parameter, else the user agent up to its slash.
    pub manager: String,
    /// `apps/v1`.
    pub api_version: String,
    /// `status`, `scale` or nothing.
    pub subresource: String,
}

/// A way to a field: the keys from the root.
type Path = Vec<String>;

/// One element of `managedFields`.
#[derive(Clone, Debug)]
struct Entry {
    writer: Writer,
    operation: Operation,
    time: String,
    fields: BTreeSet<Path>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Update,
    Apply,
}

/// What an apply does about fields that others own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contested {
    /// Refuse.
    Conflict,
    /// Take them: `force=true`.
    Take,
}

/// Records in `new` that `writer` made it from `old`.
pub fn record_update(old: &Value, new: &mut Value, writer: &Writer) {
    let (before, after) = (fields(old), fields(new));
    let changed: BTreeSet<Path> = after
        .iter()
        .filter(|path| at(old, path) != at(new, path))
        .cloned()
        .collect();
    let mut entries = read(old);
    let own = |entry: &Entry| entry.operation == Operation::Update && entry.writer == *writer;
    for entry in &mut entries {
        entry
            .fields
            .retain(|f| after.contains(f) || !before.contains(f));
    }
    for entry in entries.iter_mut().filter(|e| !own(e)) {
        entry.fields.retain(|f| !changed.contains(f));
    }
    if !changed.is_empty() {
        match entries.iter_mut().find(|e| own(e)) {
            Some(entry) => {
                entry.fields.extend(changed);
                entry.time = meta::now();
            }
            None => entries.push(Entry {
                writer: writer.clone(),
                operation: Operation::Update,
                time: meta::now(),
                fields: changed,
            }),
        }
    }
    write(new, entries);
}

/// `current` after `writer` has applied `applied` to it, ownership included.
///
/// # Errors
/// 409 if others own what it would change and `contested` does not say to take it.
pub fn apply(
    current: &Value,
    applied: &Value,
    writer: &Writer,
    contested: Contested,
) -> Result<Value, Failure> {
    let wanted = fields(applied);
    let mut entries = read(current);
    let own = |entry: &Entry| entry.operation == Operation::Apply && entry.writer == *writer;
    let mut conflicts = Vec::new();
    for entry in entries.iter_mut().filter(|e| !own(e)) {
        let lost: Vec<Path> = entry
            .fields
            .iter()
            .filter(|f| wanted.contains(*f) && at(current, f) != at(applied, f))
            .cloned()
            .collect();
        for field in lost {
            conflicts.push((entry.describe(), format!(".{}", field.join("."))));
            entry.fields.remove(&field);
        }
    }
    if !conflicts.is_empty() && contested == Contested::Conflict {
        return Err(Failure::apply_conflict(&conflicts));
    }
    let mut result = current.clone();
    // What this manager applied before and leaves out now goes, unless someone
    // else owns it too.
    let before = entries.iter().position(own).map(|i| entries.remove(i));
    for field in before.iter().flat_map(|e| &e.fields) {
        if !wanted.contains(field) && !entries.iter().any(|e| e.fields.contains(field)) {
            remove(&mut result, field);
        }
    }
    json_patch::merge(&mut result, &without_system_fields(applied));
    entries.push(Entry {
        writer: writer.clone(),
        operation: Operation::Apply,
        time: meta::now(),
        fields: wanted,
    });
    write(&mut result, entries);
    Ok(result)
}

// === impl Entry ===

impl Entry {
    fn describe(&self) -> String {
        let Writer {
            manager,
            api_version,
            subresource,
        } = &self.writer;
        let through = if subresource.is_empty() {
            String::new()
        } else {
            format!(" with subresource \"{subresource}\"")
        };
        format!("\"{manager}\"{through} using {api_version}")
    }

    fn from_value(value: &Value) -> Self {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let mut fields = BTreeSet::new();
        collect_set(&value["fieldsV1"], &mut Vec::new(), &mut fields);
        Self {
            writer: Writer {
                manager: text("manager"),
                api_version: text("apiVersion"),
                subresource: text("subresource"),
            },
            operation: match value["operation"].as_str() {
                Some("Apply") => Operation::Apply,
                _ => Operation::Update,
            },
            time: text("time"),
            fields,
        }
    }

    fn to_value(&self) -> Value {
        let mut set = json!({});
        for path in &self.fields {
            let mut place = &mut set;
            for key in path {
                place = &mut place[format!("f:{key}")];
                if place.is_null() {
                    *place = json!({});
                }
            }
        }
        let mut value = json!({
            "manager": self.writer.manager,
            "operation": match self.operation {
                Operation::Update => "Update",
                Operation::Apply => "Apply",
            },
            "apiVersion": self.writer.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": set,
        });
        if !self.writer.subresource.is_empty() {
            value["subresource"] = self.writer.subresource.clone().into();
        }
        value
    }
}

fn read(object: &Value) -> Vec<Entry> {
    meta::list(object, "/metadata/managedFields")
        .iter()
        .map(Entry::from_value)
        .collect()
}

fn write(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    let values: Vec<Value> = entries.iter().map(Entry::to_value).collect();
    meta::set(object, "managedFields", values);
}

// === paths ===

/// What the server itself keeps, which nobody owns.
const SYSTEM: &[&str] = &[
    "name",
    "namespace",
    "generateName",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];

fn without_system_fields(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(all) = object.as_object_mut() {
        all.remove("apiVersion");
        all.remove("kind");
        if let Some(metadata) = all.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|key, _| !SYSTEM.contains(&key.as_str()));
        }
    }
    object
}

/// The leaves of an object, lists among them.
fn fields(object: &Value) -> BTreeSet<Path> {
    let mut found = BTreeSet::new();
    if let Some(all) = without_system_fields(object).as_object() {
        collect(all, &mut Vec::new(), &mut found);
    }
    found
}

fn collect(object: &Map<String, Value>, path: &mut Path, into: &mut BTreeSet<Path>) {
    for (key, value) in object {
        path.push(key.clone());
        match value {
            Value::Object(inner) => collect(inner, path, into),
            Value::Null => {}
            _ => {
                into.insert(path.clone());
            }
        }
        path.pop();
    }
}

fn collect_set(set: &Value, path: &mut Path, into: &mut BTreeSet<Path>) {
    let Some(children) = set.as_object().filter(|c| !c.is_empty()) else {
        if !path.is_empty() {
            into.insert(path.clone());
        }
        return;
    };
    for (key, child) in children {
        path.push(key.trim_start_matches("f:").to_owned());
        collect_set(child, path, into);
        path.pop();
    }
}

fn at<'a>(object: &'a Value, path: &Path) -> &'a Value {
    path.iter().fold(object, |place, key| &place[key])
}

fn remove(object: &mut Value, path: &Path) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let mut place = Some(object);
    for key in parents {
        place = place.and_then(|p| p.get_mut(key));
    }
    if let Some(parent) = place.and_then(Value::as_object_mut) {
        parent.remove(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(manager: &str) -> Writer {
        Writer {
            manager: manager.into(),
            api_version: "apps/v1".into(),
            subresource: String::new(),
        }
    }

    #[test]
    fn the_last_writer_of_a_field_owns_it() {
        let mut first = json!({ "spec": { "replicas": 1, "paused": true } });
        record_update(&json!({}), &mut first, &writer("a"));
        let mut second = first.clone();
        second["spec"]["replicas"] = 2.into();
        record_update(&first, &mut second, &writer("b"));
        let entries = second["metadata"]["managedFields"].as_array().unwrap();
        assert_eq!(entries[0]["manager"], "a");
        assert_eq!(
            entries[0]["fieldsV1"],
            json!({ "f:spec": { "f:paused": {} } })
        );
        assert_eq!(entries[1]["manager"], "b");
        assert_eq!(
            entries[1]["fieldsV1"],
            json!({ "f:spec": { "f:replicas": {} } })
        );
    }

    #[test]
    fn apply_conflicts_unless_forced_and_drops_what_it_leaves_out() {
        let mut object = json!({ "spec": { "replicas": 1 } });
        record_update(&json!({}), &mut object, &writer("hpa"));
        let applied = json!({ "spec": { "replicas": 3, "paused": true } });
        let refused = apply(&object, &applied, &writer("me"), Contested::Conflict).unwrap_err();
        assert_eq!(
            refused.message,
            "Apply failed with 1 conflict: conflict with \"hpa\" using apps/v1: .spec.replicas"
        );
        let taken = apply(&object, &applied, &writer("me"), Contested::Take).unwrap();
        assert_eq!(taken["spec"], applied["spec"]);
        let less = json!({ "spec": { "replicas": 3 } });
        let left = apply(&taken, &less, &writer("me"), Contested::Conflict).unwrap();
        assert_eq!(left["spec"], less["spec"]);
    }
}

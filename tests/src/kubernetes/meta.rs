//! Reading and writing the parts that all objects have.

use jiff::{Timestamp, Unit};
use serde_json::{Map, Value};

/// A field of the metadata as text; empty if it is not there.
#[must_use]
pub fn get<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// Sets a field of the metadata.
pub fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    object["metadata"][field] = value.into();
}

/// Takes a field of the metadata away.
pub fn unset(object: &mut Value, field: &str) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove(field);
    }
}

/// An object's name.
#[must_use]
pub fn name(object: &Value) -> &str {
    get(object, "name")
}

/// A whole number at a JSON pointer.
#[must_use]
pub fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer)?.as_i64()
}

/// The map at a JSON pointer, empty if there is none.
#[must_use]
pub fn map<'a>(object: &'a Value, pointer: &str) -> &'a Map<String, Value> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    object
        .pointer(pointer)
        .and_then(Value::as_object)
        .unwrap_or(&EMPTY)
}

/// The list at a JSON pointer, empty if there is none.
#[must_use]
pub fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Whether it is being deleted.
#[must_use]
pub fn is_terminating(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// Whether a condition of the status is `True`.
#[must_use]
pub fn has_condition(object: &Value, kind: &str) -> bool {
    list(object, "/status/conditions")
        .iter()
        .any(|c| c["type"] == kind && c["status"] == "True")
}

/// The controller among the owners: its kind and uid.
#[must_use]
pub fn controller(object: &Value) -> Option<(&str, &str)> {
    let owner = list(object, "/metadata/ownerReferences")
        .iter()
        .find(|owner| owner["controller"] == true)?;
    Some((owner["kind"].as_str()?, owner["uid"].as_str()?))
}

/// Now, in whole seconds as `metav1.Time` has it.
#[must_use]
pub fn now() -> String {
    time(Timestamp::now())
}

/// A time in whole seconds.
#[must_use]
pub fn time(at: Timestamp) -> String {
    at.round(Unit::Second).unwrap_or(at).to_string()
}

/// A new uid: a random version 4 UUID.
#[must_use]
pub fn uid() -> String {
    let high = fastrand::u64(..) & !0xf000 | 0x4000;
    let low = fastrand::u64(..) >> 2 | 1 << 63;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// What is put after `generateName`, of the alphabet the real server uses
/// (apimachinery, `pkg/util/rand`).
#[must_use]
pub fn suffix(length: usize) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    (0..length)
        .map(|_| char::from(ALPHABET[fastrand::usize(..ALPHABET.len())]))
        .collect()
}

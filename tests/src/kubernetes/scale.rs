//! The `scale` subresource: an `autoscaling/v1` Scale as a window on an object's
//! replicas.

use serde_json::{Value, json};

use super::{
    failure::Failure,
    kinds, meta,
    resource::{Resource, ScalePaths},
    selector::Selector,
};

/// The Scale of `object`. Zero replicas are left out of `spec`, as by the real
/// server, whose field is marked `omitempty`.
#[must_use]
pub fn of(object: &Value, paths: &ScalePaths) -> Value {
    let metadata = &object["metadata"];
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {},
        "status": { "replicas": meta::number(object, &paths.status).unwrap_or(0) },
    });
    if let Some(replicas) = meta::number(object, &paths.spec).filter(|n| *n != 0) {
        scale["spec"]["replicas"] = replicas.into();
    }
    let selector = paths.selector.as_deref().and_then(|p| object.pointer(p));
    if let Some(selector) = selector {
        scale["status"]["selector"] = match selector {
            Value::String(text) => text.clone(),
            object => Selector::from_object(object).text(),
        }
        .into();
    }
    scale
}

/// What a GET answers.
///
/// # Errors
/// 500 if a custom resource has no replicas, as the real server has it
/// (apiextensions-apiserver, `pkg/registry/customresource/etcd.go`).
pub fn read(object: &Value, paths: &ScalePaths) -> Result<Value, Failure> {
    if meta::number(object, &paths.spec).is_none() {
        return Err(Failure::internal(&format!(
            "the spec replicas field {:?} does not exist",
            paths.spec.replace('/', ".")
        )));
    }
    Ok(of(object, paths))
}

/// `object` with the replicas, and for the check of versions the
/// resourceVersion, that `scale` has.
///
/// # Errors
/// 400 if it is no Scale of this object, 422 for a number below zero.
pub fn write(
    resource: &Resource,
    object: &Value,
    paths: &ScalePaths,
    scale: &Value,
) -> Result<Value, Failure> {
    let name = meta::name(object);
    let as_scale = Resource::new("autoscaling", "v1", "scales", "Scale");
    if scale["kind"].as_str().is_some_and(|kind| kind != "Scale") {
        return Err(Failure::bad_request(format!(
            "expected a Scale of {resource} \"{name}\", got {}",
            scale["kind"]
        )));
    }
    let replicas = match &scale["spec"]["replicas"] {
        Value::Null => 0,
        value => value
            .as_i64()
            .filter(|n| i32::try_from(*n).is_ok())
            .ok_or_else(|| kinds::not_a_number(&as_scale, value))?,
    };
    if replicas < 0 {
        let why = format!("Invalid value: {replicas}: must be greater than or equal to 0");
        return Err(Failure::invalid(
            "autoscaling",
            "Scale",
            name,
            "spec.replicas",
            &why,
        ));
    }
    let mut new = object.clone();
    if let Some(place) = new.pointer_mut(&paths.spec) {
        *place = replicas.into();
    } else {
        set(&mut new, &paths.spec, replicas);
    }
    let version = meta::get(scale, "resourceVersion");
    if !version.is_empty() {
        meta::set(&mut new, "resourceVersion", version);
    }
    Ok(new)
}

fn set(object: &mut Value, pointer: &str, number: i64) {
    let mut place = object;
    for key in pointer.split('/').skip(1) {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[key];
    }
    *place = number.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_replicas_are_left_out_of_the_spec() {
        let paths = Resource::seldon_model().scale.unwrap();
        let scale = of(
            &json!({ "metadata": {}, "spec": { "replicas": 0 } }),
            &paths,
        );
        assert_eq!(scale["spec"], json!({}));
        assert_eq!(scale["status"]["replicas"], 0);
        let missing = read(&json!({ "metadata": {}, "spec": {} }), &paths).unwrap_err();
        assert!(
            missing.message.contains(".spec.replicas"),
            "{}",
            missing.message
        );
    }

    #[test]
    fn replicas_below_zero_are_invalid() {
        let resource = Resource::seldon_model();
        let paths = resource.scale.clone().unwrap();
        let object = json!({ "metadata": { "name": "m" }, "spec": {} });
        let write = |n: Value| {
            write(
                &resource,
                &object,
                &paths,
                &json!({ "spec": { "replicas": n } }),
            )
        };
        assert_eq!(write(3.into()).unwrap()["spec"]["replicas"], 3);
        assert_eq!(write((-1).into()).unwrap_err().code, 422);
        assert_eq!(write("x".into()).unwrap_err().code, 400);
    }
}

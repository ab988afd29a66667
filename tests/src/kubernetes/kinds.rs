//! What is particular to a kind: defaults, what is invalid, grace.

use serde_json::{Value, json};

use super::{failure::Failure, meta, resource::Resource};

/// Fills in what the real server's defaulting does, as far as anyone reads it.
pub fn fill(resource: &Resource, object: &mut Value) {
    match resource.kind.as_str() {
        "Pod" => {
            let spec = &mut object["spec"];
            default(spec, "terminationGracePeriodSeconds", json!(30));
            default(spec, "restartPolicy", json!("Always"));
            object["status"] = json!({ "phase": "Pending", "qosClass": "BestEffort" });
        }
        "Namespace" => {
            let name = meta::name(object).to_owned();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name.into();
            object["status"] = json!({ "phase": "Active" });
        }
        "Deployment" | "ReplicaSet" | "StatefulSet" => {
            default(&mut object["spec"], "replicas", json!(1));
            object["status"] = json!({});
        }
        "Service" => {
            for port in object["spec"]["ports"].as_array_mut().into_iter().flatten() {
                let number = port["port"].clone();
                default(port, "targetPort", number);
                default(port, "protocol", json!("TCP"));
            }
            default(&mut object["spec"], "type", json!("ClusterIP"));
            object["status"] = json!({ "loadBalancer": {} });
        }
        _ => {}
    }
}

fn default(object: &mut Value, field: &str, value: Value) {
    if object[field].is_null() {
        object[field] = value;
    }
}

/// Refuses what the real server's validation does, as far as a client of ours
/// can get it wrong. Unlike the real one it takes endpoints in 127.0.0.0/8, so
/// that a test can serve from there.
///
/// # Errors
/// 422, or 400 where the value is not even of the field's type.
pub fn check(resource: &Resource, object: &Value) -> Result<(), Failure> {
    let invalid = |field: &str, why: &str| {
        Err(Failure::invalid(
            &resource.group,
            &resource.kind,
            meta::name(object),
            field,
            why,
        ))
    };
    if resource.scale.is_some() {
        match &object["spec"]["replicas"] {
            Value::Null => {}
            value => match value.as_i64() {
                Some(n) if n < 0 => {
                    let why = format!("Invalid value: {n}: must be greater than or equal to 0");
                    return invalid("spec.replicas", &why);
                }
                Some(_) => {}
                None => return Err(not_a_number(resource, value)),
            },
        }
    }
    if resource.group == "apps" {
        let labels = &object["spec"]["template"]["metadata"]["labels"];
        let wanted = meta::map(object, "/spec/selector/matchLabels");
        if wanted.is_empty() && meta::list(object, "/spec/selector/matchExpressions").is_empty() {
            return invalid("spec.selector", "Required value");
        }
        if wanted.iter().any(|(key, value)| &labels[key] != value) {
            let why = "Invalid value: `selector` does not match template `labels`";
            return invalid("spec.template.metadata.labels", why);
        }
    }
    if resource.kind == "Lease" {
        return check_lease(resource, object);
    }
    Ok(())
}

fn check_lease(resource: &Resource, object: &Value) -> Result<(), Failure> {
    let spec = &object["spec"];
    for field in ["acquireTime", "renewTime"] {
        // metav1.MicroTime: six digits of the second, neither more nor fewer.
        let fraction = |text: &str| {
            let (_, rest) = text.split_once('.')?;
            Some(
                rest.find(|c: char| !c.is_ascii_digit())
                    .unwrap_or(rest.len()),
            )
        };
        if let Some(text) = spec[field].as_str()
            && fraction(text) != Some(6)
        {
            return Err(Failure::bad_request(format!(
                "Lease in version \"v1\" cannot be handled as a Lease: parsing time \"{text}\" as \
                 \"2006-01-02T15:04:05.000000Z07:00\": cannot parse \"{text}\" as \".000000\""
            )));
        }
    }
    let invalid = |field: &str, value: i64, why: &str| {
        let why = format!("Invalid value: {value}: {why}");
        Err(Failure::invalid(
            &resource.group,
            "Lease",
            meta::name(object),
            field,
            &why,
        ))
    };
    match (
        spec["leaseDurationSeconds"].as_i64(),
        spec["leaseTransitions"].as_i64(),
    ) {
        (Some(n), _) if n <= 0 => invalid("spec.leaseDurationSeconds", n, "must be greater than 0"),
        (_, Some(n)) if n < 0 => invalid(
            "spec.leaseTransitions",
            n,
            "must be greater than or equal to 0",
        ),
        _ => Ok(()),
    }
}

/// 400: `spec.replicas` is not a whole number.
#[must_use]
pub fn not_a_number(resource: &Resource, value: &Value) -> Failure {
    let kind = &resource.kind;
    let found = match value {
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::Array(_) => "array",
        _ => "object",
    };
    Failure::bad_request(format!(
        "{kind} in version \"{}\" cannot be handled as a {kind}: json: cannot unmarshal {found} \
         into Go struct field {kind}Spec.spec.replicas of type int32",
        resource.version
    ))
}

/// Seconds an object stays after its deletion. Only pods have grace, and not
/// those that no node runs or that have ended (kubernetes,
/// `pkg/registry/core/pod/strategy.go`, `CheckGracefulDelete`).
#[must_use]
pub fn grace(resource: &Resource, object: &Value, asked: Option<i64>) -> i64 {
    if resource.kind != "Pod" {
        return 0;
    }
    let has_node = object["spec"]["nodeName"]
        .as_str()
        .is_some_and(|n| !n.is_empty());
    let has_ended = matches!(
        object["status"]["phase"].as_str(),
        Some("Failed" | "Succeeded")
    );
    if !has_node || has_ended {
        return 0;
    }
    asked
        .or_else(|| meta::number(object, "/spec/terminationGracePeriodSeconds"))
        .unwrap_or(30)
        .max(0)
}

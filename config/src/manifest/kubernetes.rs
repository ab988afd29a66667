//! Reads the field `kubernetes` of a server.

use crate::kubernetes::{KubernetesSpec, MODEL, SERVER, Service, ServicePort, WorkloadSource};
use crate::manifest::fields::{Fields, Value};
use crate::manifest::static_endpoints;
use crate::name::{is_label, is_name};
use crate::{Endpoint, ObjectLocation, UpstreamTls};

const API_VERSION: &str = "apps/v1";
const KIND: &str = "Deployment";

/// Reads the workload; errors are noted.
pub(super) fn read(value: &Value<'_>, place: &ObjectLocation) -> Option<KubernetesSpec> {
    let fields = value.fields()?;
    let api_version = fields
        .get("apiVersion")
        .map_or_else(|| Some(API_VERSION.into()), |value| read_version(&value));
    let kind = fields
        .get("kind")
        .map_or_else(|| Some(KIND.into()), |value| read_kind(&value));
    let name_value = fields.required("name", "the name of the workload");
    let name = name_value.as_ref().and_then(|value| {
        read_pattern(
            value,
            is_name,
            "the name of a workload, in which {model} may stand for the model's name",
        )
    });
    let namespace = match fields.get("namespace") {
        Some(value) => Some(read_namespace(&value)?),
        None => None,
    };
    let source = read_source(&fields, name.as_deref());
    let tls = fields.get("tls").map(|value| {
        let tls = static_endpoints::read_tls(&value, place);
        check_tls(&value, source.as_ref(), tls.as_ref());
        tls
    });
    fields.finish();
    let secure = match &source {
        Some(WorkloadSource::Endpoints(endpoints)) => {
            endpoints.iter().any(|endpoint| endpoint.secure)
        }
        _ => false,
    };
    let tls = match tls {
        Some(tls) => Some(tls?),
        None => secure.then(UpstreamTls::default),
    };
    Some(KubernetesSpec {
        api_version: api_version?,
        kind: kind?,
        name: name?,
        namespace,
        source: source?,
        tls,
    })
}

/// Reads an API version: `group/version`, or `version` alone.
fn read_version(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let (group, version) = text.split_once('/').unwrap_or(("core", &text));
    if is_name(group) && is_label(version) {
        return Some(text);
    }
    value.wrong("an API version such as apps/v1");
    None
}

fn read_kind(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_uppercase());
    if first && text.len() <= 63 && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Some(text);
    }
    value.wrong("a kind such as Deployment or StatefulSet, as its own manifest has it");
    None
}

/// Reads a name that may contain `{model}`.
fn read_pattern(value: &Value<'_>, is_valid: fn(&str) -> bool, expected: &str) -> Option<String> {
    let text = value.text()?;
    // Checked here with one-letter names. The real names are filled in and checked in `resolve`.
    if is_valid(&text.replace(MODEL, "m").replace(SERVER, "s")) {
        return Some(text);
    }
    value.wrong(expected);
    None
}

fn read_namespace(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    if is_label(&text) {
        return Some(text);
    }
    value.wrong("the name of a namespace");
    None
}

/// Reads `service` or `endpoints`, whichever is set.
fn read_source(fields: &Fields<'_>, workload: Option<&str>) -> Option<WorkloadSource> {
    match (fields.get("service"), fields.get("endpoints")) {
        (Some(service), None) => read_service(&service, workload).map(WorkloadSource::Service),
        (None, Some(endpoints)) => read_endpoints(&endpoints).map(WorkloadSource::Endpoints),
        (Some(_), Some(endpoints)) => {
            endpoints
                .rule("`service` is set as well; expected exactly one of service and endpoints");
            None
        }
        (None, None) => {
            fields.rule(
                "found neither `service` nor `endpoints`, expected exactly one of them: \
                 where the replicas take requests",
            );
            None
        }
    }
}

fn read_service(value: &Value<'_>, workload: Option<&str>) -> Option<Service> {
    let fields = value.fields()?;
    let name_value = fields.required("name", "the name of a Service");
    let port = match fields.get("port") {
        Some(value) => Some(read_port(&value)?),
        None => None,
    };
    let grpc_port = match fields.get("grpcPort") {
        Some(value) => Some(read_port(&value)?),
        None => None,
    };
    fields.finish();
    let value = name_value?;
    let name = read_pattern(
        &value,
        is_label,
        "the name of a Service, in which {model} may stand for the model's name",
    )?;
    if workload.is_some_and(|workload| workload.contains(MODEL) != name.contains(MODEL)) {
        value.rule(
            "{model} is in the name of either the workload or the Service alone; expected it in \
             both (each model has its own) or in neither (they share one)",
        );
        return None;
    }
    Some(Service {
        name,
        port,
        grpc_port,
    })
}

fn read_port(value: &Value<'_>) -> Option<ServicePort> {
    let text = value.text()?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = text.parse().ok().filter(|number| *number != 0);
        if number.is_none() {
            value.wrong("a port from 1 to 65535, or the name of one");
        }
        return number.map(ServicePort::Number);
    }
    if is_label(&text) {
        return Some(ServicePort::Name(text));
    }
    value.wrong("a port from 1 to 65535, or the name of one");
    None
}

fn read_endpoints(value: &Value<'_>) -> Option<Vec<Endpoint>> {
    let endpoints = static_endpoints::read_endpoints(value)?;
    (!endpoints.is_empty()).then_some(endpoints)
}

/// Checks that TLS to pods has a `serverName`: pods are reached by IP address, and certificates do
/// not contain it.
fn check_tls(value: &Value<'_>, source: Option<&WorkloadSource>, tls: Option<&UpstreamTls>) {
    match (source, tls) {
        (Some(WorkloadSource::Service(_)), Some(tls)) if tls.server_name.is_none() => value.rule(
            "found no serverName, expected one: the pods of a Service are reached by their \
             addresses, which are not in their certificates",
        ),
        (Some(WorkloadSource::Endpoints(endpoints)), _)
            if endpoints.iter().any(|one| !one.secure) =>
        {
            value.rule("the endpoints are http; expected https endpoints, or no tls");
        }
        _ => {}
    }
}

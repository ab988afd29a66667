//! A `Server` document.

use std::collections::HashSet;

use crate::manifest::fields::{Fields, Value};
use crate::manifest::{process, tuning};
use crate::{Endpoint, Kind, Origin, Place, Server, StaticSpec, endpoint};

/// The ways to run replicas that are planned, but not here yet.
const LATER: &[&str] = &["kubernetes", "seldon", "webhook"];

/// The server that `spec` describes; what is wrong with it is noted.
pub(super) fn read(spec: &Fields<'_>, place: Place) -> Option<Server> {
    let before = spec.failed();
    let capabilities = spec
        .get("capabilities")
        .and_then(|value| value.words())
        .unwrap_or_default();
    let memory = spec.get("memory").and_then(|value| value.bytes());
    let concurrency = spec
        .get("concurrency")
        .and_then(|value| value.count_from_one());
    let max_replicas = spec.get("maxReplicas").and_then(|value| read_max(&value));
    let overrides = tuning::read(spec, &place, Origin::Server);
    let kind = read_kind(spec, &place);
    if let (Some(Kind::Static(_)), Some(value)) = (&kind, spec.get("maxReplicas")) {
        value.rule(
            "a static server has the replicas its endpoints are and is never scaled; remove it",
        );
    }
    let kind = kind.filter(|_| spec.failed() == before)?;
    Some(Server {
        name: place.name.clone(),
        place,
        capabilities,
        memory,
        concurrency,
        max_replicas,
        kind,
        overrides,
    })
}

fn read_max(value: &Value<'_>) -> Option<u32> {
    value.count_from_one().map(u32::from)
}

/// The one of `process` and `static` that is set.
fn read_kind(spec: &Fields<'_>, place: &Place) -> Option<Kind> {
    let mut given = 0;
    spec.ignore(LATER);
    for later in LATER {
        if let Some(value) = spec.get(later) {
            given += 1;
            value.rule(&format!(
                "`{later}` is not supported by this version; use process or static"
            ));
        }
    }
    let process = spec.get("process");
    let fixed = spec.get("static");
    if let (Some(_), Some(value)) = (&process, &fixed) {
        value.rule("`process` is set as well; expected exactly one of process and static");
    }
    if process.is_none() && fixed.is_none() && given == 0 {
        spec.rule("found neither `process` nor `static`, expected exactly one of them");
    }
    let process = process.and_then(|value| process::read(&value, place));
    let fixed = fixed.and_then(|value| read_static(&value));
    process.map(Kind::Process).or(fixed.map(Kind::Static))
}

fn read_static(value: &Value<'_>) -> Option<StaticSpec> {
    let fields = value.fields()?;
    let list = fields.required(
        "endpoints",
        "a list of addresses such as http://127.0.0.1:8080",
    );
    fields.finish();
    let list = list?;
    let items = list.items()?;
    if items.is_empty() {
        list.rule(
            "found an empty list, expected at least one address such as http://127.0.0.1:8080",
        );
    }
    let mut seen = HashSet::new();
    let mut endpoints = Vec::with_capacity(items.len());
    for item in &items {
        let Some(text) = item.text() else { continue };
        match Endpoint::parse(&text) {
            // A message may end in a log: no password in it.
            None if text.contains('@') => {
                item.rule(&format!(
                    "found a user in the address, expected {}",
                    endpoint::EXPECTED
                ));
            }
            None => item.wrong(endpoint::EXPECTED),
            Some(endpoint) if !seen.insert(endpoint.authority.clone()) => {
                item.wrong("an address that is not in the list already");
            }
            Some(endpoint) => endpoints.push(endpoint),
        }
    }
    Some(StaticSpec { endpoints })
}

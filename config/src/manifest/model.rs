//! Reads a `Model` document, Tailback's or Seldon's.

use std::num::NonZeroU32;

use crate::manifest::ApiVersion;
use crate::manifest::fields::{Fields, Located, Value};
use crate::manifest::{NATIVE, overrides, read_model_name};
use crate::{FieldLocation, ObjectLocation, Origin, Overrides, ResponseModel};

/// Fields of Seldon's `Model` that have no effect. Tailback's own documents accept them too, so
/// that a Seldon manifest can be migrated by changing its `apiVersion` alone.
const UNUSED: &[&str] = &[
    "artifactVersion",
    "dataflow",
    "dedicated",
    "explainer",
    "llm",
    "logger",
    "parameters",
    "preloaded",
    "schedulingConstraints",
    "schemaUri",
    "secretName",
    "storageConfig",
];

/// Fields that only Tailback's own documents may set.
const NATIVE_ONLY: &[&str] = &[
    "aliases",
    "allow",
    "concurrency",
    "devices",
    "hold",
    "includeUsage",
    "responseModel",
    "retry",
    "scaling",
    "timeouts",
    "upstreamName",
];

/// A model as in its document, before its server is found and defaults are filled in.
#[derive(Debug)]
pub(crate) struct Draft {
    pub place: ObjectLocation,
    /// The location of `spec`, for errors that are about no single field.
    pub spot: FieldLocation,
    pub aliases: Vec<Located<String>>,
    pub server: Option<Located<String>>,
    pub upstream_name: Option<String>,
    pub response_model: Option<ResponseModel>,
    pub allow: Vec<String>,
    pub storage_uri: Option<String>,
    pub requirements: Vec<String>,
    pub memory: Option<Located<u64>>,
    pub devices: Option<Located<u32>>,
    pub replicas: Option<Located<u32>>,
    pub min: Option<Located<u32>>,
    pub max: Option<Located<u32>>,
    pub concurrency: Option<Located<NonZeroU32>>,
    pub overrides: Overrides,
}

/// Reads the model; errors are noted.
pub(super) fn read(
    spec: &Fields<'_>,
    place: ObjectLocation,
    api_version: ApiVersion,
) -> Option<Draft> {
    let before = spec.failed();
    let count = |name| {
        spec.get(name)
            .and_then(|value| value.count().map(|count| value.at(count)))
    };
    let mut requirements = spec
        .get("requirements")
        .and_then(|value| value.words())
        .unwrap_or_default();
    // As in Seldon, `modelType` is one more requirement.
    if let Some(kind) = spec.get("modelType").and_then(|value| value.text())
        && !requirements.contains(&kind)
    {
        requirements.push(kind);
    }
    let min = spec
        .get("minReplicas")
        .and_then(|value| read_min(&value, api_version));
    if api_version == ApiVersion::Seldon {
        for name in NATIVE_ONLY {
            if let Some(value) = spec.get(name) {
                value.rule(&format!(
                    "Seldon's Model has no such field; write it as {NATIVE} to use it"
                ));
            }
        }
    }
    spec.ignore(UNUSED);
    let draft = Draft {
        spot: spec.spot(),
        aliases: spec
            .get("aliases")
            .map_or_else(Vec::new, |value| read_aliases(&value, &place.name)),
        server: spec
            .get("server")
            .and_then(|value| value.text().map(|name| value.at(name))),
        upstream_name: spec
            .get("upstreamName")
            .and_then(|value| read_upstream_name(&value)),
        response_model: spec.word(
            "responseModel",
            &[
                ("replica", ResponseModel::Replica),
                ("requested", ResponseModel::Requested),
            ],
        ),
        allow: spec
            .get("allow")
            .map_or_else(Vec::new, |value| read_paths(&value)),
        storage_uri: spec.get("storageUri").and_then(|value| value.text()),
        requirements,
        memory: spec
            .get("memory")
            .and_then(|value| value.bytes().map(|bytes| value.at(bytes))),
        devices: count("devices"),
        replicas: count("replicas"),
        min,
        max: count("maxReplicas"),
        concurrency: spec
            .get("concurrency")
            .and_then(|value| value.count_from_one().map(|count| value.at(count))),
        overrides: overrides::read(spec, &place, Origin::Model),
        place,
    };
    (spec.failed() == before).then_some(draft)
}

/// Reads aliases. None may occur twice or be the model's own name.
fn read_aliases(value: &Value<'_>, own: &str) -> Vec<Located<String>> {
    let mut aliases: Vec<Located<String>> = Vec::new();
    for item in value.items().unwrap_or_default() {
        let Some(alias) = read_model_name(&item) else {
            continue;
        };
        if alias == own {
            item.wrong("another name than the model's own, which clients may use anyway");
        } else if alias.trim_end_matches('*').contains('*') || alias.ends_with("**") {
            item.wrong("a name, or the beginning of names and one * at its end");
        } else if aliases.iter().any(|known| known.value == alias) {
            item.wrong("a name that is not in the list already");
        } else {
            aliases.push(item.at(alias));
        }
    }
    aliases
}

/// Reads paths of a server.
fn read_paths(value: &Value<'_>) -> Vec<String> {
    let mut paths = Vec::new();
    for item in value.items().unwrap_or_default() {
        let Some(path) = item.text() else { continue };
        let is_path = path.starts_with('/') && !path.ends_with('/');
        match is_path && !path.contains(['?', '*', '%']) && !path.contains("//") {
            true => paths.push(path),
            false => item.wrong("a path such as /v1/load_lora_adapter, without a query, escapes, * or a / at its end"),
        }
    }
    paths
}

/// Reads the name that replicas know the model by, which may be any text.
fn read_upstream_name(value: &Value<'_>) -> Option<String> {
    const EXPECTED: &str = "a name of 1 to 1024 bytes, without control characters";
    let name = value.text()?;
    if (1..=1024).contains(&name.len()) && !name.chars().any(char::is_control) {
        return Some(name);
    }
    value.wrong(EXPECTED);
    None
}

fn read_min(value: &Value<'_>, api_version: ApiVersion) -> Option<Located<u32>> {
    let min = value.count()?;
    if min == 0 && api_version == ApiVersion::Seldon {
        value.rule(&format!(
            "found 0, expected at least 1 in a Seldon Model; write it as {NATIVE} to scale to zero"
        ));
    }
    Some(value.at(min))
}

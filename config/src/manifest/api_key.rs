//! Reads an `ApiKey` document.

use std::path::Path;
use std::sync::Arc;

use crate::manifest::fields::{Context, Fields, Value};
use crate::manifest::{NATIVE, read_name};
use crate::name::{is_label, is_name};
use crate::yaml::{Document, Node};
use crate::{ApiKey, Error, FieldLocation, NamePattern, ObjectLocation, Sha256};

/// The kind of these documents.
pub(super) const KIND: &str = "ApiKey";

/// The form of a class's name, for messages.
const CLASS_EXPECTED: &str =
    "the name of a class: 1 to 63 lower-case letters, digits and '-', such as batch";

const HASH_EXPECTED: &str = "expected 64 hexadecimal digits, the SHA-256 hash of the key, and never the key itself \
     (`tailback keys add` makes a key and writes its hash)";

impl ApiKey {
    /// Reads the key in `document` of `file`. Errors are added to `errors`.
    pub(crate) fn read(
        file: &Arc<Path>,
        document: &Document,
        errors: &mut Vec<Error>,
    ) -> Option<Self> {
        let root = &document.root;
        let name = root
            .entry("metadata")
            .and_then(|metadata| metadata.entry("name"))
            .and_then(Node::text);
        let context = Context::new(FieldLocation {
            file: Arc::clone(file),
            document: document.number,
            object: match name.filter(|name| is_name(name)) {
                Some(name) => format!("{KIND} {name}"),
                None => KIND.to_owned(),
            },
            line: root.line,
            field: String::new(),
        });
        let key = read_root(&context, root);
        let found = context.into_errors();
        let key = key.filter(|_| found.is_empty());
        errors.extend(found);
        key
    }
}

fn read_root(context: &Context, root: &Node) -> Option<ApiKey> {
    let root = Value::root(context, root).fields()?;
    let mut is_ours = true;
    for (field, expected) in [("apiVersion", NATIVE), ("kind", KIND)] {
        let value = root.required(field, expected);
        is_ours &= value.is_some_and(|value| {
            let fits = value.is(expected);
            if !fits {
                value.wrong(&format!("{expected}: only API keys are read here"));
            }
            fits
        });
    }
    let name = root
        .required("metadata", "a map with a name")
        .and_then(|value| read_name(&value, KIND));
    let spec = root
        .required("spec", "a map with sha256")
        .and_then(|value| value.fields());
    root.finish();
    if !is_ours {
        return None;
    }
    let place = ObjectLocation {
        name: name.clone().unwrap_or_default(),
        ..context.place()
    };
    Some(read_spec(spec?, place))
}

/// Reads the key; errors are noted.
fn read_spec(spec: Fields<'_>, place: ObjectLocation) -> ApiKey {
    let before = spec.failed();
    let hash = |name| {
        let value = spec.get(name)?;
        // An error does not show the value, because somebody may have put the key itself there.
        let hash = value.text().as_deref().and_then(Sha256::parse);
        if hash.is_none() {
            value.rule(HASH_EXPECTED);
        }
        hash
    };
    let (sha256, certificate) = (hash("sha256"), hash("certificateSha256"));
    let models = spec.get("models").and_then(|value| read_models(&value));
    let class = spec.get("class").and_then(|value| {
        let name = value.text().filter(|name| is_label(name));
        if name.is_none() {
            value.wrong(CLASS_EXPECTED);
        }
        name
    });
    let requests_per_minute = spec
        .get("requestsPerMinute")
        .and_then(|value| value.count_from_one());
    let concurrency = spec
        .get("concurrency")
        .and_then(|value| value.count_from_one());
    let expires = spec.get("expires").and_then(|value| {
        let time = value.text().as_deref().and_then(ApiKey::parse_time);
        if time.is_none() {
            value.wrong(ApiKey::TIME_EXPECTED);
        }
        time
    });
    if spec.failed() == before && sha256.is_none() && certificate.is_none() {
        spec.rule("found neither sha256 nor certificateSha256, expected one of them at least");
    }
    spec.finish();
    ApiKey {
        name: place.name.clone(),
        place,
        sha256,
        certificate,
        models,
        class,
        requests_per_minute,
        concurrency,
        expires,
    }
}

fn read_models(value: &Value<'_>) -> Option<Vec<NamePattern>> {
    let items = value.items()?;
    let pattern = |item: &Value<'_>| {
        let pattern = item.text().as_deref().and_then(NamePattern::parse);
        if pattern.is_none() {
            item.wrong("the name or alias of a model, or its beginning and * as in \"llama-*\"");
        }
        pattern
    };
    let patterns: Vec<_> = items.iter().filter_map(pattern).collect();
    (patterns.len() == items.len()).then_some(patterns)
}

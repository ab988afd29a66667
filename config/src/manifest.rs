//! Reads each document into a server or a draft of a model, and checks the document by itself.
//! `resolve` checks what involves several documents.

mod api_key;
mod call;
mod fields;
mod health;
mod hold_classes;
mod host;
mod kubernetes;
mod load_balancing;
mod model;
mod multi_model;
mod overrides;
mod process;
mod readiness;
mod retry;
mod runtime;
mod seldon;
mod seldon_server;
mod server;
mod static_endpoints;
mod warm_up;
mod webhook;

use std::path::Path;
use std::sync::Arc;

use crate::name::{MODEL_EXPECTED, is_model_name, is_name};
use crate::suggest::hint;
use crate::variables::{SKIP_OTHER_KINDS, flag};
use crate::yaml::{Document, Node};
use crate::{Env, Error, FieldLocation, Host, ObjectLocation, Server, Skipped};

pub(crate) use fields::Located;
use fields::{Context, Fields, Value};
pub(crate) use model::Draft;
pub(crate) use seldon_server::SeldonServer;

/// Tailback's own `apiVersion`.
const NATIVE: &str = "tailback.dev/v1alpha1";
/// `apiVersion` of Seldon Core 2's documents.
const SELDON: &str = "mlops.seldon.io/v1alpha1";
/// The kinds that are read.
const KINDS: [&str; 4] = ["Server", "ServerConfig", "Model", "Host"];
/// [`KINDS`], for messages.
const KINDS_EXPECTED: &str = "Server, ServerConfig, Model or Host";

/// The objects of all documents, in the order in which they were read.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    pub servers: Vec<Server>,
    /// How the replicas of Seldon's servers are run.
    pub server_configs: Vec<Server>,
    pub seldon_servers: Vec<SeldonServer>,
    pub models: Vec<Draft>,
    pub hosts: Vec<Arc<Host>>,
    /// Documents of other kinds.
    pub skipped: Skipped,
    /// Whether documents of other kinds are skipped; else they are errors.
    pub skips: bool,
    /// Whether a document with an error is, or might be, a server.
    pub unread: bool,
}

/// The `apiVersion` of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ApiVersion {
    Native,
    Seldon,
}

impl Objects {
    /// Adds the object in `document` of `file`. Errors are added to `errors`. `env` has the
    /// variables that the document may name.
    pub(crate) fn read(
        &mut self,
        file: &Arc<Path>,
        document: &Document,
        env: &Env,
        errors: &mut Vec<Error>,
    ) {
        let root = &document.root;
        let text = |node: Option<&Node>| node.and_then(Node::text).unwrap_or_default().to_owned();
        let kind = text(root.entry("kind"));
        let name = text(
            root.entry("metadata")
                .and_then(|metadata| metadata.entry("name")),
        );
        let api_version = text(root.entry("apiVersion"));
        let is_skipped = self.skips && is_of_others(&api_version, &kind);
        let context = Context::new(FieldLocation {
            file: Arc::clone(file),
            document: document.number,
            // Shown with every error. An invalid name has an error of its own and is not
            // repeated.
            object: match (is_skipped || is_kind(&kind), is_model_name(&name)) {
                (true, true) => format!("{kind} {name}"),
                (true, false) => kind.clone(),
                (false, _) => String::new(),
            },
            line: root.line,
            field: String::new(),
        });
        if is_skipped {
            return self.skipped.add(kind, context.spot());
        }
        self.read_root(&context, root, env);
        let found = context.into_errors();
        self.unread |= !found.is_empty() && kind != "Model";
        errors.extend(found);
    }

    fn read_root(&mut self, context: &Context, root: &Node, env: &Env) {
        let Some(root) = Value::root(context, root).fields() else {
            return;
        };
        let Some(kind) = read_kind(&root) else { return };
        let api_version = read_api_version(&root, kind);
        root.ignore(&["status"]);
        let name = root
            .required("metadata", "a map with a name")
            .and_then(|value| read_name(&value, kind));
        let spec = match root.get("spec") {
            Some(value) => value.fields(),
            None => Some(Fields::empty(context, &root, "spec")), // what is missing in it says so itself
        };
        root.finish();
        let (Some(api_version), Some(name), Some(spec)) = (api_version, name, spec) else {
            return;
        };
        let place = ObjectLocation {
            name,
            ..context.place()
        };
        match (kind, api_version) {
            ("Server", ApiVersion::Native) => {
                self.servers.extend(server::read(&spec, place, env));
            }
            ("Server", ApiVersion::Seldon) => {
                self.seldon_servers
                    .extend(seldon_server::read(&spec, place));
            }
            ("ServerConfig", _) => {
                self.server_configs
                    .extend(server::read_config(&spec, place, env));
            }
            ("Host", _) => self.hosts.extend(host::read(&spec, place, env)),
            _ => self.models.extend(model::read(&spec, place, api_version)),
        }
        spec.finish();
    }
}

fn is_kind(kind: &str) -> bool {
    KINDS.contains(&kind)
}

/// Whether a document is of a kind that other programs read and Tailback does not.
fn is_of_others(api_version: &str, kind: &str) -> bool {
    let is_word = |text: &str, more: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        (1..=253).contains(&text.len()) && text.chars().all(fits)
    };
    let group = api_version.split('/').next().unwrap_or_default();
    let ours = NATIVE.split('/').next().unwrap_or_default();
    // In any version of Seldon's group: a mistyped version must not make a Model or Server
    // disappear silently.
    let is_seldons = SELDON.split('/').next() == Some(group);
    let is_read = is_seldons && matches!(kind, "Server" | "Model");
    is_word(api_version, "./-") && is_word(kind, "") && group != ours && !is_read
}

fn read_kind(root: &Fields<'_>) -> Option<&'static str> {
    let value = root.required("kind", KINDS_EXPECTED)?;
    let text = value.text()?;
    if text == api_key::KIND {
        value.rule(
            "API keys are read from the file that TAILBACK_API_KEYS_FILE names, which is none of \
             the manifests; move this document there",
        );
        return None;
    }
    let kind = KINDS.into_iter().find(|kind| *kind == text);
    if kind.is_none() {
        let api_version = root.get("apiVersion").filter(|value| !value.is_map());
        let api_version = api_version.and_then(|value| value.text());
        let hint = match is_of_others(&api_version.unwrap_or_default(), &text) {
            true => skip_hint(),
            false => hint(&text, KINDS),
        };
        value.wrong(&format!("a kind that is read here: {KINDS_EXPECTED}{hint}"));
    }
    kind
}

/// Says how documents of other kinds can stay in the folder.
fn skip_hint() -> String {
    let option = flag(SKIP_OTHER_KINDS).unwrap_or_default();
    format!("; to skip documents of other kinds, set {SKIP_OTHER_KINDS}=true or --{option}=true")
}

fn read_api_version(root: &Fields<'_>, kind: &str) -> Option<ApiVersion> {
    let expected = match kind {
        "ServerConfig" | "Host" => NATIVE.to_owned(),
        _ => format!("{NATIVE} or {SELDON}"),
    };
    let value = root.required("apiVersion", &expected)?;
    match value.text()?.as_str() {
        NATIVE => Some(ApiVersion::Native),
        SELDON if matches!(kind, "Model" | "Server") => Some(ApiVersion::Seldon),
        SELDON if kind == "Host" => {
            value.rule(&format!("Seldon has no Host; write it as {NATIVE}"));
            None
        }
        SELDON => {
            value.rule(&format!(
                "a ServerConfig of {SELDON} describes pods of Seldon's own and is not read; write one of {NATIVE}, \
                 which says how replicas are run{}",
                skip_hint()
            ));
            None
        }
        other => {
            value.wrong(&format!("{expected}{}", hint(other, [NATIVE, SELDON])));
            None
        }
    }
}

/// Reads `metadata.name`. All other fields of `metadata` are for Kubernetes.
fn read_name(metadata: &Value<'_>, kind: &str) -> Option<String> {
    let value = metadata.fields()?.required("name", "a name")?;
    if kind == "Model" {
        return read_model_name(&value);
    }
    let name = value.text()?;
    if is_name(&name) {
        return Some(name);
    }
    value.wrong(
        "a name as Kubernetes has them: 1 to 253 lower-case letters, digits, '-' and '.', \
         with a letter or digit first and last, and on both sides of each '.'",
    );
    None
}

/// Reads a model's name.
fn read_model_name(value: &Value<'_>) -> Option<String> {
    let name = value.text()?;
    if is_model_name(&name) {
        return Some(name);
    }
    value.wrong(MODEL_EXPECTED);
    None
}

//! Models that are discovered in a cluster: Seldon's `Model` resources, and workloads with
//! annotations. Each becomes the two documents that a person would write for it, a Server and a
//! Model with its name, which are then read like any manifest.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use crate::files::Source;
use crate::suggest::hint;
use crate::{Error, FieldLocation, ObjectLocation};

/// The prefix of Tailback's annotations.
const PREFIX: &str = "tailback.dev/";
/// The prefix of such documents' file name in messages.
const FILE: &str = "cluster: ";

/// An object of a cluster that may describe a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterObject {
    /// Its kind.
    pub kind: ClusterKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// All its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// The kinds of objects that describe models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterKind {
    /// Seldon Core 2's `Model`, with its bounds.
    SeldonModel {
        /// `spec.minReplicas`; Seldon takes 0 as not set.
        min: Option<u32>,
        /// `spec.maxReplicas`; Seldon takes 0 as not set.
        max: Option<u32>,
    },
    /// A workload with annotations.
    Workload {
        /// Its `apiVersion`, such as `apps/v1`.
        api_version: String,
        /// Its `kind`, such as `Deployment`.
        kind: String,
    },
}

/// Identifies an object, for messages and maps.
pub(crate) type Id = String;

/// The annotations: the name, the field that it sets, and the document of that field.
const ANNOTATIONS: &[(&str, &str, Destination)] = &[
    ("model", "metadata.name", Destination::Name),
    (
        "concurrency",
        "spec.concurrency",
        Destination::Server("concurrency"),
    ),
    (
        "load-balancing",
        "spec.loadBalancing",
        Destination::Server("loadBalancing"),
    ),
    (
        "service",
        "spec.kubernetes.service.name",
        Destination::Service("name"),
    ),
    (
        "port",
        "spec.kubernetes.service.port",
        Destination::Service("port"),
    ),
    (
        "grpc-port",
        "spec.kubernetes.service.grpcPort",
        Destination::Service("grpcPort"),
    ),
    (
        "min-replicas",
        "spec.minReplicas",
        Destination::Model("minReplicas"),
    ),
    (
        "max-replicas",
        "spec.maxReplicas",
        Destination::Model("maxReplicas"),
    ),
    (
        "upstream-name",
        "spec.upstreamName",
        Destination::Model("upstreamName"),
    ),
    (
        "lag-threshold",
        "spec.scaling.lagThreshold",
        Destination::Scaling("lagThreshold"),
    ),
    (
        "inactive-seconds",
        "spec.scaling.inactiveSeconds",
        Destination::Scaling("inactiveSeconds"),
    ),
    (
        "stability-seconds",
        "spec.scaling.stabilitySeconds",
        Destination::Scaling("stabilitySeconds"),
    ),
    (
        "dry-run",
        "spec.scaling.dryRun",
        Destination::Scaling("dryRun"),
    ),
];

/// The part of the documents that an annotation's value goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Destination {
    Name,
    Server(&'static str),
    Service(&'static str),
    Model(&'static str),
    Scaling(&'static str),
}

impl ClusterObject {
    pub(crate) fn id(&self) -> Id {
        let kind = match &self.kind {
            ClusterKind::SeldonModel { .. } => "Model",
            ClusterKind::Workload { kind, .. } => kind,
        };
        format!("{kind} {}/{}", self.namespace, self.name)
    }

    /// The name of the model that this object describes, if it describes one.
    pub(crate) fn model(&self) -> Option<&str> {
        let named = self.annotations.get(&format!("{PREFIX}model"));
        match &self.kind {
            ClusterKind::SeldonModel { .. } => Some(named.unwrap_or(&self.name)),
            ClusterKind::Workload { .. } => named.map(String::as_str),
        }
    }

    /// The Server and the Model as YAML. `gateway` is the address for requests to Seldon's
    /// Models.
    ///
    /// # Errors
    ///
    /// An annotation with Tailback's prefix and an unknown name.
    pub(crate) fn documents(&self, gateway: &str) -> Result<Source, Error> {
        let file: Arc<Path> = Path::new(&format!("{FILE}{}", self.id())).into();
        self.check(&file)?;
        let seldon = matches!(self.kind, ClusterKind::SeldonModel { .. });
        let mut server = String::new();
        let (mut service, mut model, mut scaling) = (String::new(), String::new(), String::new());
        for (name, _, part) in ANNOTATIONS {
            let Some(value) = self.annotations.get(&format!("{PREFIX}{name}")) else {
                continue;
            };
            let (text, field) = match part {
                Destination::Name => continue,
                Destination::Server(field) => (&mut server, field),
                Destination::Service(field) => (&mut service, field),
                Destination::Model(field) => (&mut model, field),
                Destination::Scaling(field) => (&mut scaling, field),
            };
            // Writing to a string cannot fail.
            let _ = write!(text, "{field}: {}, ", scalar(value));
        }
        if let ClusterKind::SeldonModel { min, max } = self.kind {
            for (name, field, count) in [
                ("min-replicas", "minReplicas", min),
                ("max-replicas", "maxReplicas", max),
            ] {
                let annotated = self.annotations.contains_key(&format!("{PREFIX}{name}"));
                if let (false, Some(count @ 1..)) = (annotated, count) {
                    let _ = write!(model, "{field}: {count}, ");
                }
            }
        }
        let (api_version, kind) = match &self.kind {
            ClusterKind::SeldonModel { .. } => ("mlops.seldon.io/v1alpha1", "Model"),
            ClusterKind::Workload { api_version, kind } => (&**api_version, &**kind),
        };
        let way = if seldon && service.is_empty() {
            let gateway = gateway.replace("{namespace}", &self.namespace);
            format!("endpoints: [{}]", quoted(&gateway))
        } else {
            if !service.contains("name: ") {
                let _ = write!(service, "name: {}", quoted(&self.name));
            }
            format!("service: {{ {service} }}")
        };
        let kubernetes = format!(
            "{{ apiVersion: {}, kind: {}, name: {}, namespace: {}, {way} }}",
            quoted(api_version),
            quoted(kind),
            quoted(&self.name),
            quoted(&self.namespace)
        );
        // Has kind and namespace in it, so that no two objects get the same name.
        let server_name = format!("{}.{}.{}", kind.to_lowercase(), self.namespace, self.name);
        let model_name = self.model().unwrap_or_default();
        let text = format!(
            "{{ apiVersion: tailback.dev/v1alpha1, kind: Server, metadata: {{ name: {} }}, \
             spec: {{ {server} kubernetes: {kubernetes} }} }}\n---\n\
             {{ apiVersion: tailback.dev/v1alpha1, kind: Model, metadata: {{ name: {} }}, \
             spec: {{ server: {}, {model} scaling: {{ {scaling} }} }} }}\n",
            quoted(&server_name),
            quoted(model_name),
            quoted(&server_name),
        );
        Ok(Source { file, text })
    }

    fn check(&self, file: &Arc<Path>) -> Result<(), Error> {
        let known = || ANNOTATIONS.iter().map(|(name, ..)| *name);
        for key in self.annotations.keys() {
            let Some(name) = key.strip_prefix(PREFIX) else {
                continue;
            };
            if !known().any(|one| one == name) {
                return Err(Error::Rule {
                    spot: Box::new(FieldLocation {
                        file: Arc::clone(file),
                        document: 1,
                        object: String::new(),
                        line: 1,
                        field: format!("metadata.annotations[{key}]"),
                    }),
                    message: format!("there is no such annotation{}", hint(name, known())),
                });
            }
        }
        Ok(())
    }
}

/// Whether the object at `place` comes from a cluster.
pub(crate) fn is_from_cluster(place: &ObjectLocation) -> bool {
    is_cluster_file(&place.file)
}

/// The cluster's object that `error` is about; `None`: it is about something else.
pub(crate) fn culprit(error: &Error) -> Option<Id> {
    let file = match error {
        Error::Value { spot, .. } | Error::Rule { spot, .. } => &spot.file,
        Error::Syntax { file, .. } => file,
        _ => return None,
    };
    let text = file.to_str().filter(|_| is_cluster_file(file))?;
    text.strip_prefix(FILE).map(str::to_owned)
}

/// Says what is wrong in terms of the object's annotations.
pub(crate) fn explain(error: &Error) -> String {
    let (spot, what) = match error {
        Error::Value {
            spot,
            found,
            expected,
        } => (spot, format!("found {found}, expected {expected}")),
        Error::Rule { spot, message } => (spot, message.clone()),
        other => return other.to_string(),
    };
    let annotation = ANNOTATIONS
        .iter()
        .find(|(_, field, _)| *field == spot.field);
    let field = annotation.map_or_else(
        || spot.field.clone(),
        |(name, ..)| format!("{PREFIX}{name}"),
    );
    match field.is_empty() {
        true => what,
        false => format!("{field}: {what}"),
    }
}

fn is_cluster_file(file: &Path) -> bool {
    file.to_str().is_some_and(|file| file.starts_with(FILE))
}

/// Writes a value as YAML: a number or a flag as it is, anything else in quotes.
fn scalar(value: &str) -> String {
    let number = value
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    match !value.is_empty() && number || matches!(value, "true" | "false") {
        true => value.to_owned(),
        false => quoted(value),
    }
}

/// Writes a text in YAML's double quotes, with the escapes that it shares with JSON.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

//! One row of the table of APIs: a kind of request, and what becomes of it.

use std::fmt;

use http::{HeaderMap, Method};

use super::pattern::Pattern;
use crate::protocol::{
    ProxyError,
    local_reply::{LocalReply, ModelList},
};

/// A kind of request.
#[derive(Debug)]
pub struct Route {
    /// How it is asked.
    pub methods: Methods,
    /// Where.
    pub pattern: Pattern,
    /// What becomes of it.
    pub handling: Handling,
    /// The header field without which it is not this kind of request.
    pub header: Option<&'static str>,
}

/// The methods of a request.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Methods {
    /// GET and HEAD.
    Get,
    Post,
    Delete,
    Any,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
pub enum Handling {
    /// It goes to the model's replicas: it wakes the model, and counts as use.
    Inference(ModelIn),
    /// It asks about the model: it goes to a replica that has room for it now, and neither
    /// wakes the model nor counts as use.
    Probe(Probe, ModelIn),
    /// The proxy answers itself, unless the header names a model.
    Local(Local),
    /// A gRPC service of the proxy's own answers.
    Service(Service),
    /// Nobody answers, whatever the header says: why.
    Refused(&'static str),
    /// What follows the model's name is the path of any request, which goes to that model.
    Passthrough,
}

/// Where a request names its model, if the header `seldon-model` does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelIn {
    /// In the path.
    Path,
    /// In the field `model` of the body: JSON, or a form.
    Body,
    /// In the parameter `model` of the query.
    Query,
    /// In this field of the first gRPC message.
    Message(u32),
    /// Nowhere: it goes to the default model, or to the only one that is served, if that has
    /// one replica. Else it is refused: why.
    Nowhere(&'static str),
}

/// What a request asks about a model.
#[derive(Clone, Copy, Debug)]
pub enum Probe {
    /// What only a replica knows.
    Details,
    /// Whether it is ready, which the proxy can say itself.
    Readiness(fn(bool) -> LocalReply),
}

/// What the proxy answers itself.
#[derive(Clone, Copy, Debug)]
pub struct Local {
    /// In words.
    pub what: &'static str,
    /// The answer.
    pub answer: fn(&LocalRequest<'_>) -> Result<LocalReply, ProxyError>,
}

/// A gRPC service that the proxy offers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `grpc.health.v1.Health`.
    Health,
    /// `grpc.reflection.v1.ServerReflection`, unless the metadata names a model.
    Reflection,
    /// The same as `v1alpha`.
    ReflectionAlpha,
}

/// What a local answer may look at.
#[derive(Clone, Copy)]
pub struct LocalRequest<'a> {
    /// The part of the path that names a model, as it is written there.
    pub name: &'a str,
    /// What is served.
    pub models: &'a dyn ModelList,
}

// === impl Route ===

impl Route {
    /// A request to one of these paths, by one of these methods.
    #[must_use]
    pub const fn new(methods: Methods, pattern: Pattern, handling: Handling) -> Self {
        Self {
            methods,
            pattern,
            handling,
            header: None,
        }
    }

    /// The same, of those that have the header field `name`.
    #[must_use]
    pub const fn with_header(self, name: &'static str) -> Self {
        Self {
            header: Some(name),
            ..self
        }
    }

    /// Whether requests with these fields are of this kind.
    pub(super) fn fits(&self, headers: &HeaderMap) -> bool {
        self.header.is_none_or(|name| headers.contains_key(name))
    }

    /// Where it names its model.
    #[must_use]
    pub fn model_in(&self) -> Option<ModelIn> {
        match self.handling {
            Handling::Inference(model) | Handling::Probe(_, model) => Some(model),
            Handling::Passthrough => Some(ModelIn::Path),
            Handling::Local(_) | Handling::Service(_) | Handling::Refused(_) => None,
        }
    }
}

// === impl Service ===

impl Service {
    /// What it answers, in words.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::Health => {
                "the health of the proxy, or of the model that the message names as `service`"
            }
            Self::Reflection | Self::ReflectionAlpha => {
                "the services that the proxy knows, and their descriptors"
            }
        }
    }
}

// === impl Methods ===

impl Methods {
    /// Whether `method` is one of these. OPTIONS asks about any.
    #[must_use]
    pub fn allow(self, method: &Method) -> bool {
        match self {
            Self::Any => true,
            Self::Post if *method == Method::POST => true,
            Self::Get if *method == Method::GET || *method == Method::HEAD => true,
            Self::Delete if *method == Method::DELETE => true,
            _ => *method == Method::OPTIONS,
        }
    }

    /// As `Allow` lists them.
    #[must_use]
    pub fn listed(self) -> &'static [&'static str] {
        match self {
            Self::Get => &["GET", "HEAD"],
            Self::Post => &["POST"],
            Self::Delete => &["DELETE"],
            Self::Any => &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        }
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Any => "any",
        })
    }
}

// === impl LocalRequest ===

impl fmt::Debug for LocalRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalRequest")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

//! One row of the table of APIs: a kind of request, and how it is handled.

use std::fmt;

use http::Method;

use super::pattern::Pattern;
use crate::{
    message::HeaderMap,
    protocol::{
        ProxyError,
        llm::LlmApi,
        local_reply::{LocalReply, ModelList},
    },
};

/// A kind of request.
#[derive(Debug)]
pub struct Route {
    /// Its methods.
    pub methods: Methods,
    /// Its paths.
    pub pattern: Pattern,
    /// How it is handled.
    pub handling: Handling,
    /// A header field that the request must have to match.
    pub header: Option<&'static str>,
    /// Whether its answer is a response that the replica stores, and whose request may name an
    /// earlier one on which it follows (OpenAI's Responses API).
    pub makes_responses: bool,
    /// The API of its answer, if the answer is generated text.
    pub generates: Option<LlmApi>,
}

/// A set of methods.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Methods {
    /// GET and HEAD.
    Get,
    Post,
    Delete,
    Any,
}

/// How a request is handled.
#[derive(Clone, Copy, Debug)]
pub enum Handling {
    /// It is forwarded to a replica of the model; it wakes the model, and counts as use.
    Inference(ModelIn),
    /// It asks about the model. It is forwarded if a replica has room now; it does not wake the
    /// model, and does not count as use.
    Probe(Probe, ModelIn),
    /// The proxy replies itself, unless the header names a model.
    Local(Local),
    /// A gRPC service that the proxy implements.
    Service(Service),
    /// The proxy replies itself, after it has asked replicas about their models.
    Models(Local),
    /// It is refused for this reason, whatever the header names.
    Refused(&'static str),
    /// The path after the model's name is looked up as a request of its own, and forwarded to that
    /// model.
    Passthrough,
}

/// Where a request names its model if the header `seldon-model` does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelIn {
    /// In the path.
    Path,
    /// In the field `model` of the body, JSON or a form.
    Body,
    /// In the query parameter `model`.
    Query,
    /// In this field of the first gRPC message.
    Message(u32),
    /// The path contains the id of a stored response, so the request goes to the model whose
    /// replica stores that response, if this is known; otherwise as [`Nowhere`](Self::Nowhere).
    Response(&'static str),
    /// Nowhere. It goes to the default model, or to the only served model, provided that one has a
    /// single replica. Otherwise it is refused for this reason.
    Nowhere(&'static str),
}

/// What a request asks about a model.
#[derive(Clone, Copy, Debug)]
pub enum Probe {
    /// Details that only a replica knows.
    Details,
    /// Whether the model is ready, which the proxy can answer itself.
    Readiness(fn(bool) -> LocalReply),
}

/// A reply of the proxy itself.
#[derive(Clone, Copy, Debug)]
pub struct Local {
    /// What the reply shows, for the documentation.
    pub what: &'static str,
    /// Whether it needs no API key, because load balancers ask it, which have none.
    pub is_open: bool,
    /// Makes the reply.
    pub answer: fn(&LocalRequest<'_>) -> Result<LocalReply, ProxyError>,
}

/// A gRPC service that the proxy implements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `grpc.health.v1.Health`.
    Health,
    /// `grpc.reflection.v1.ServerReflection`, unless the metadata names a model.
    Reflection,
    /// `grpc.reflection.v1alpha.ServerReflection`, like `Reflection`.
    ReflectionAlpha,
}

/// What a local reply may depend on.
#[derive(Clone, Copy)]
pub struct LocalRequest<'a> {
    /// The part of the path that names a model, as written there.
    pub name: &'a str,
    /// The served models.
    pub models: &'a dyn ModelList,
}

// === impl Route ===

impl Route {
    /// A row for requests to these paths by these methods.
    #[must_use]
    pub const fn new(methods: Methods, pattern: Pattern, handling: Handling) -> Self {
        Self {
            methods,
            pattern,
            handling,
            header: None,
            makes_responses: false,
            generates: None,
        }
    }

    /// The same row, for requests with the header field `name` only.
    #[must_use]
    pub const fn with_header(self, name: &'static str) -> Self {
        Self {
            header: Some(name),
            ..self
        }
    }

    /// The same row, for requests whose answers are responses that the replica keeps.
    #[must_use]
    pub const fn making_responses(self) -> Self {
        Self {
            makes_responses: true,
            ..self
        }
    }

    /// The same row, for requests whose answers are text generated in `api`.
    #[must_use]
    pub const fn generating(self, api: LlmApi) -> Self {
        Self {
            generates: Some(api),
            ..self
        }
    }

    /// Whether requests with these header fields match.
    pub(super) fn fits(&self, headers: &HeaderMap) -> bool {
        self.header.is_none_or(|name| headers.contains_key(name))
    }

    /// Where the request names its model.
    #[must_use]
    pub fn model_in(&self) -> Option<ModelIn> {
        match self.handling {
            Handling::Inference(model) | Handling::Probe(_, model) => Some(model),
            Handling::Passthrough => Some(ModelIn::Path),
            Handling::Local(_)
            | Handling::Models(_)
            | Handling::Service(_)
            | Handling::Refused(_) => None,
        }
    }
}

// === impl Service ===

impl Service {
    /// What it answers, for the documentation.
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
    /// Whether `method` is in the set. OPTIONS always is.
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

    /// The methods in the form of `Allow`.
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

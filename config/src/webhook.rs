//! Webhook servers: an HTTP API that starts and stops replicas, and optionally reports their
//! state.

use std::fmt;
use std::time::Duration;

use http::{HeaderName, Method};
use serde_json::Value;

use crate::{Endpoint, Template, UpstreamTls};

/// Replicas that an HTTP API starts and stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSpec {
    /// The request that asks for a count.
    pub scale: ScaleCall,
    /// The request that reads the state; `None`: there is none.
    pub state: Option<StateCall>,
    /// Gateways: addresses that stand for all replicas. Empty only if [`StateCall::endpoints`] is
    /// set.
    pub endpoints: Vec<Endpoint>,
    /// How replicas are reached by TLS; `None`: in clear text.
    pub tls: Option<UpstreamTls>,
}

/// The request that asks for a count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScaleCall {
    /// `POST`, `PUT` or `PATCH`.
    pub method: Method,
    /// Its URL, headers and time limit.
    pub target: CallTarget,
    /// Its body.
    pub body: CallBody,
}

/// The request that reads the state, and JSON pointers (RFC 6901) into its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateCall {
    /// Its URL, headers and time limit. The method is `GET`.
    pub target: CallTarget,
    /// The pointer to the desired count.
    pub desired: Option<Template>,
    /// The pointer to the ready replicas: their number, or a list of them.
    pub ready: Option<Template>,
    /// The pointer to a list of the addresses of ready replicas.
    pub endpoints: Option<Template>,
    /// Time between two requests.
    pub period: Duration,
}

/// The target of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallTarget {
    /// The URL, `http` or `https`.
    pub url: Template,
    /// Header fields, in the order of the manifest.
    pub headers: Vec<(HeaderName, Template)>,
    /// Time limit of request and response. Never zero.
    pub timeout: Duration,
}

/// The body of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallBody {
    /// Nothing.
    None,
    /// JSON, with the type `application/json` unless a header sets another.
    Json(Json),
    /// Text, with the type that a header sets.
    Text(Template),
}

/// JSON with placeholders in its strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// null, true, false or a number.
    Plain(Value),
    /// A text; `{replicas}` alone becomes a number.
    Text(Template),
    /// An array.
    List(Vec<Json>),
    /// An object, in the order of the manifest.
    Map(Vec<(String, Json)>),
}

// === impl WebhookSpec ===

impl WebhookSpec {
    /// Whether the scale request contains the model's name.
    #[must_use]
    pub fn is_per_model(&self) -> bool {
        let mut templates = self.scale.templates();
        templates.any(Template::has_model)
    }

    /// Replaces the secrets of its requests in `text` by the names of their variables.
    #[must_use]
    pub fn redact(&self, text: String) -> String {
        let state = self.state.iter().flat_map(|state| state.target.templates());
        let templates = self.scale.templates().chain(state);
        templates.fold(text, |text, template| template.redact(text))
    }
}

impl fmt::Display for WebhookSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.scale.method, self.scale.target.url)?;
        if let Some(state) = &self.state {
            write!(f, ", state {}", state.target.url)?;
        }
        if !self.endpoints.is_empty() {
            let all: Vec<_> = self.endpoints.iter().map(Endpoint::to_string).collect();
            write!(f, ", through {}", all.join(" "))?;
        }
        f.write_str(if self.tls.is_some() { " by TLS" } else { "" })
    }
}

// === impl ScaleCall ===

impl ScaleCall {
    /// All its templates.
    pub(crate) fn templates(&self) -> Box<dyn Iterator<Item = &Template> + '_> {
        let body: Box<dyn Iterator<Item = &Template>> = match &self.body {
            CallBody::None => Box::new(std::iter::empty()),
            CallBody::Json(json) => json.templates(),
            CallBody::Text(text) => Box::new(std::iter::once(text)),
        };
        Box::new(self.target.templates().chain(body))
    }
}

// === impl CallTarget ===

impl CallTarget {
    fn templates(&self) -> impl Iterator<Item = &Template> {
        let headers = self.headers.iter().map(|(_, value)| value);
        std::iter::once(&self.url).chain(headers)
    }
}

// === impl Json ===

impl Json {
    /// The JSON with `model` and `replicas` filled in.
    #[must_use]
    pub fn fill(&self, model: &str, replicas: u32) -> Value {
        match self {
            Self::Plain(value) => value.clone(),
            Self::Text(text) if text.is_count() => replicas.into(),
            Self::Text(text) => text.fill(model, replicas).into(),
            Self::List(items) => items
                .iter()
                .map(|item| item.fill(model, replicas))
                .collect(),
            Self::Map(entries) => entries
                .iter()
                .map(|(name, item)| (name.clone(), item.fill(model, replicas)))
                .collect(),
        }
    }

    fn templates(&self) -> Box<dyn Iterator<Item = &Template> + '_> {
        match self {
            Self::Plain(_) => Box::new(std::iter::empty()),
            Self::Text(text) => Box::new(std::iter::once(text)),
            Self::List(items) => Box::new(items.iter().flat_map(Self::templates)),
            Self::Map(entries) => Box::new(entries.iter().flat_map(|(_, item)| item.templates())),
        }
    }
}

//! A webhook as replicas: one HTTP request for each count asked for, to whoever starts and stops
//! them, and where to read what became of it.

use std::fmt;
use std::time::Duration;

use http::{HeaderName, Method};
use serde_json::Value;

use crate::{Endpoint, Template, UpstreamTls};

/// Replicas that an HTTP API starts and stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSpec {
    /// How a count is asked for.
    pub scale: ScaleCall,
    /// Where what there is can be read.
    pub state: Option<StateCall>,
    /// Addresses that stand for all replicas. Empty only where [`StateCall::endpoints`] is set.
    pub endpoints: Vec<Endpoint>,
    /// How replicas are reached by TLS, if they are.
    pub tls: Option<UpstreamTls>,
}

/// The request that asks for a count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScaleCall {
    /// `POST`, `PUT` or `PATCH`.
    pub method: Method,
    /// Where it goes.
    pub target: CallTarget,
    /// What it carries.
    pub body: CallBody,
}

/// The request that reads what there is, and where in the JSON of its answer (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateCall {
    /// Where it goes, by `GET`.
    pub target: CallTarget,
    /// The count that is asked for.
    pub desired: Option<Template>,
    /// The replicas that take requests: their number, or a list of them.
    pub ready: Option<Template>,
    /// A list of the addresses of those that take requests.
    pub endpoints: Option<Template>,
    /// Time between two looks.
    pub period: Duration,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallTarget {
    /// `http` or `https`.
    pub url: Template,
    /// In the order of the manifest.
    pub headers: Vec<(HeaderName, Template)>,
    /// For the whole exchange. Never zero.
    pub timeout: Duration,
}

/// What a request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallBody {
    /// Nothing.
    None,
    /// JSON, `application/json` where no header says otherwise.
    Json(Json),
    /// Text as it is, of the type a header says.
    Text(Template),
}

/// JSON with placeholders in its texts.
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
    /// Whether the request says which model it is for.
    #[must_use]
    pub fn is_per_model(&self) -> bool {
        let mut templates = self.scale.templates();
        templates.any(Template::has_model)
    }

    /// `text` without the values of the variables that requests carry.
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
    /// Everything in it that may have placeholders.
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
    /// The JSON for `model` and `replicas`.
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

//! Replies that the proxy makes itself. The table of APIs says for which requests.

use std::{sync::LazyLock, time::SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Response};

use super::model_card::ModelCard;

/// The served models, as far as local replies show them.
pub trait ModelList {
    /// The models' own names, in no particular order.
    fn names(&self) -> Vec<&str>;
    /// The models' aliases, in no particular order.
    fn aliases(&self) -> Vec<&str>;
    /// Whether a model has this name or alias.
    fn is_served(&self, name: &str) -> bool;
    /// Whether the model of this own name has a replica that takes requests.
    fn is_ready(&self, name: &str) -> bool;
    /// What replicas have said about the model that has this name, its own or an alias.
    fn card(&self, name: &str) -> ModelCard;
}

static STARTED: LazyLock<SystemTime> = LazyLock::new(SystemTime::now);

/// The creation time that replies give for models: when this was first called.
#[must_use]
pub fn started_at() -> SystemTime {
    *STARTED
}

/// A complete reply of the proxy.
#[derive(Debug)]
pub struct LocalReply {
    /// Head and body.
    pub response: Response<Bytes>,
    /// The trailers, for gRPC.
    pub trailers: Option<HeaderMap>,
}

impl From<Response<Bytes>> for LocalReply {
    fn from(response: Response<Bytes>) -> Self {
        Self {
            response,
            trailers: None,
        }
    }
}

/// The own names of all models, sorted.
#[must_use]
pub fn own_names(models: &dyn ModelList) -> Vec<&str> {
    let mut names = models.names();
    names.sort_unstable();
    names
}

/// All names and aliases, sorted.
#[must_use]
pub fn all_names(models: &dyn ModelList) -> Vec<&str> {
    let mut names = models.names();
    names.extend(models.aliases());
    names.sort_unstable();
    names
}

//! Replies that the proxy makes itself. The table of APIs lists the requests.

use std::{sync::LazyLock, time::SystemTime};

use bytes::Bytes;

use super::model_card::ModelCard;
use crate::message::{Response, Trailers};

/// The served models, as local replies need them.
pub trait ModelList {
    /// The models' names without aliases, in no particular order.
    fn names(&self) -> Vec<&str>;
    /// The models' aliases, in no particular order.
    fn aliases(&self) -> Vec<&str>;
    /// Whether a model has this name or alias.
    fn is_served(&self, name: &str) -> bool;
    /// Whether the model with this name (not an alias) has a replica that takes requests.
    fn is_ready(&self, name: &str) -> bool;
    /// What replicas have reported about the model with this name or alias.
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
    pub trailers: Option<Trailers>,
}

impl From<Response<Bytes>> for LocalReply {
    fn from(response: Response<Bytes>) -> Self {
        Self {
            response,
            trailers: None,
        }
    }
}

/// The names of all models without aliases, sorted.
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

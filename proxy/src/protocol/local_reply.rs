//! What the proxy answers itself, and what such answers may look at. Which requests they are
//! for, the table of APIs says.

use std::{sync::LazyLock, time::SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Response};

/// The models that are served, as far as answers tell of them.
pub trait ModelList {
    /// The models' own names, in any order.
    fn names(&self) -> Vec<&str>;
    /// Their further names, in any order.
    fn aliases(&self) -> Vec<&str>;
    /// Whether a model has this name, its own or an alias.
    fn is_served(&self, name: &str) -> bool;
    /// Whether the model of this own name has a replica that takes requests.
    fn is_ready(&self, name: &str) -> bool;
}

static STARTED: LazyLock<SystemTime> = LazyLock::new(SystemTime::now);

/// When this process was first asked: since when it has its models.
#[must_use]
pub fn started_at() -> SystemTime {
    *STARTED
}

/// An answer of the proxy's own, whole.
#[derive(Debug)]
pub struct LocalReply {
    /// Head and body.
    pub response: Response<Bytes>,
    /// What follows the body, in gRPC.
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

/// Each name that clients may use, sorted.
#[must_use]
pub fn all_names(models: &dyn ModelList) -> Vec<&str> {
    let mut names = models.names();
    names.extend(models.aliases());
    names.sort_unstable();
    names
}

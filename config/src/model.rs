//! A model as the rest of the program sees it: its server found, its bounds worked out, every
//! threshold resolved. Nothing is optional here that could still be decided.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::{ObjectLocation, Origin, Policy, RateLimit, Retry, Server, Setting};

/// What a client asks for by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The name clients use, and all counts are kept by.
    pub name: String,
    /// Further names that clients may use. No other model has any of them.
    pub aliases: Vec<String>,
    /// The document that describes it.
    pub place: ObjectLocation,
    /// What its replicas call it, if not by its name.
    pub upstream_name: Option<String>,
    /// The server its replicas run on.
    pub server: Arc<Server>,
    /// Where the model's files are, as `{storageUri}` in the server's command.
    pub storage_uri: Option<String>,
    /// What its server must be capable of.
    pub requirements: Vec<String>,
    /// Bytes that one replica takes of its server's memory.
    pub memory: Option<u64>,
    /// How many replicas, and whether load may change that.
    pub replicas: Replicas,
    /// Requests that one replica takes at once; `None`: no limit.
    pub concurrency: Setting<Option<NonZeroU32>>,
    /// What happens to requests that no replica can take yet.
    pub hold: Hold,
    /// How long a request may wait for its replica.
    pub timeouts: RequestTimeouts,
    /// When a request is sent again although a replica may have processed it; `None`: never.
    pub retry: Setting<Option<Retry>>,
    /// When and how the replica count follows the load.
    pub scaling: Scaling,
}

/// The replica counts a model may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replicas {
    /// Never fewer. 0: the model may be scaled to zero.
    pub min: u32,
    /// Never more. `u32::MAX` where neither the model nor its server sets a bound.
    pub max: u32,
    /// How many to start with. `min <= initial <= max`.
    pub initial: u32,
    /// Whether load changes the count: only if `minReplicas` or `maxReplicas` is set.
    pub scaled: bool,
    /// Who set `min`.
    pub min_origin: Origin,
    /// Who set `max`.
    pub max_origin: Origin,
    /// Who set `initial`.
    pub initial_origin: Origin,
}

/// How long the queue of held requests may become, and how long a request may wait in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Requests held at once; 0: hold none, refuse at once.
    pub queue: Setting<u32>,
    /// Longest wait of one request. Never zero.
    pub deadline: Setting<Duration>,
}

/// How long each wait of a request for its replica may last. None is zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestTimeouts {
    /// To connect to a replica, TLS included.
    pub connect: Setting<Duration>,
    /// From the request sent to the response's header.
    pub response_header: Setting<Duration>,
    /// From the response's header to the first byte of its body.
    pub first_byte: Setting<Duration>,
    /// Without a byte either way, once bytes have come: of a response's body, a stream or a tunnel.
    pub stream_idle: Setting<Duration>,
    /// From the request's arrival to the last byte of its answer; `None`: as long as it takes.
    pub total: Setting<Option<Duration>>,
}

/// When and how the replica count follows the load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scaling {
    /// The rule that turns lag into a replica count.
    pub policy: Setting<Policy>,
    /// Lag that one replica may carry.
    pub lag_threshold: Setting<NonZeroU32>,
    /// How long a model must be unused before it is scaled down. Never zero.
    pub inactive: Setting<Duration>,
    /// How long the replica set must have been unchanged before it is scaled down; may be zero.
    pub stability: Setting<Duration>,
    /// How long a request may wait for a replica without being late; may be zero.
    pub target_wait: Setting<Duration>,
    /// How fast the count may go up; `None`: as fast as it is needed.
    pub up_limit: Setting<Option<RateLimit>>,
    /// How fast the count may go down; `None`: at once.
    pub down_limit: Setting<Option<RateLimit>>,
    /// Decide and record, but ask the orchestrator for nothing.
    pub dry_run: Setting<bool>,
}

// === impl Replicas ===

impl Replicas {
    /// Whether the count is left to others: whatever there is, is right.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        !self.scaled && self.min != self.max
    }
}

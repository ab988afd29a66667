//! A model, completely resolved: with its server, its bounds, and a value for every setting.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::{
    FairBy, HoldClasses, Host, HostRoom, ObjectLocation, Origin, Policy, RateLimit, Retry, Server,
    Setting,
};

/// A model that clients request by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The name that clients use. All metrics and counts are under this name.
    pub name: String,
    /// Further names that clients may use. No other model has any of them.
    pub aliases: Vec<String>,
    /// Prefixes of aliases with a wildcard: `gpt-` for `gpt-*`. No other model has any of them.
    pub wildcards: Vec<String>,
    /// The document that describes it.
    pub place: ObjectLocation,
    /// The name that its replicas know it by, if it differs.
    pub upstream_name: Option<String>,
    /// Which model name the `model` field of its responses has.
    pub response_model: ResponseModel,
    /// Paths that callers may ask for, with all below them, though such requests are refused otherwise:
    /// they manage a replica.
    pub allow: Vec<String>,
    /// The server its replicas run on.
    pub server: Arc<Server>,
    /// The location of the model's files, for `{storageUri}` in the server's command.
    pub storage_uri: Option<String>,
    /// Capabilities that its server must offer.
    pub requirements: Vec<String>,
    /// Bytes of the server's `memory` that one replica takes; `None`: not counted.
    pub memory: Option<u64>,
    /// The room that a replica takes on the host, if models share the host's room.
    pub room: Option<HostRoom>,
    /// The host whose room is shared.
    pub host: Option<Arc<Host>>,
    /// The bounds of its replica count.
    pub replicas: Replicas,
    /// Requests that one replica takes at once; `None`: no limit.
    pub concurrency: Setting<Option<NonZeroU32>>,
    /// How requests are held while no replica can take them.
    pub hold: Hold,
    /// Time limits of requests at a replica.
    pub timeouts: RequestTimeouts,
    /// Whether Tailback asks for `usage` in streams where the caller does not (OpenAI's API).
    pub include_usage: Setting<bool>,
    /// When a request is sent again although a replica may have processed it; `None`: never.
    pub retry: Setting<Option<Retry>>,
    /// When and how the replica count follows the load.
    pub scaling: Scaling,
}

/// Which model name the `model` field of responses has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ResponseModel {
    /// The name that the replica has put there.
    #[default]
    Replica,
    /// The name that the caller has requested.
    Requested,
}

/// The replica counts a model may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replicas {
    /// Smallest count; 0: the model may be scaled to zero.
    pub min: u32,
    /// Largest count; `u32::MAX` if neither the model nor its server sets one.
    pub max: u32,
    /// The count at the start; `min <= initial <= max`.
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

/// The limits of the queue of held requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Largest number of held requests; 0: refuse at once instead.
    pub queue: Setting<u32>,
    /// Longest time that a request is held. Never zero.
    pub deadline: Setting<Duration>,
    /// The classes of held requests; `None`: they are all of one.
    pub classes: Setting<Option<HoldClasses>>,
    /// What identifies the tenants between whom the queue is fair.
    pub fair_by: Setting<FairBy>,
}

/// Time limits of a request at its replica. None of them is zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestTimeouts {
    /// To connect to a replica, TLS included.
    pub connect: Setting<Duration>,
    /// From the request sent to the response's header.
    pub response_header: Setting<Duration>,
    /// From the response's header to the first byte of its body.
    pub first_byte: Setting<Duration>,
    /// Longest time without a byte in either direction, after the first byte of a response's
    /// body, a stream or a tunnel.
    pub stream_idle: Setting<Duration>,
    /// From the request's arrival to the last byte of its response; `None`: no limit.
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
    /// How long the replica set must be unchanged before a scale-down; may be zero.
    pub stability: Setting<Duration>,
    /// How long a request may wait for a replica before it counts as late; may be zero.
    pub target_wait: Setting<Duration>,
    /// How fast the count may go up; `None`: no limit.
    pub up_limit: Setting<Option<RateLimit>>,
    /// How fast the count may go down; `None`: no limit.
    pub down_limit: Setting<Option<RateLimit>>,
    /// Whether decisions are only recorded, without scale requests.
    pub dry_run: Setting<bool>,
    /// Whether the model is never evicted from shared servers to make room for another model.
    pub pin: Setting<bool>,
}

// === impl Replicas ===

impl Replicas {
    /// Whether something else sets the count: it is neither fixed nor scaled by Tailback.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        !self.scaled && self.min != self.max
    }
}

//! Settings of models that a Server or Model document may override. Otherwise the environment's
//! value, or else the default, applies.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::{FairBy, HoldClasses, Policy, RateLimit, Retry, Setting};

/// Settings that a document overrides. A model's win over its server's, and those over the
/// environment's. `None`: not set here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `scaling.policy`
    pub policy: Option<Setting<Policy>>,
    /// `scaling.lagThreshold`
    pub lag_threshold: Option<Setting<NonZeroU32>>,
    /// `scaling.inactiveSeconds`
    pub inactive: Option<Setting<Duration>>,
    /// `scaling.stabilitySeconds`
    pub stability: Option<Setting<Duration>>,
    /// `scaling.targetWaitSeconds`
    pub target_wait: Option<Setting<Duration>>,
    /// `scaling.scaleUpLimit`
    pub up_limit: Option<Setting<Option<RateLimit>>>,
    /// `scaling.scaleDownLimit`
    pub down_limit: Option<Setting<Option<RateLimit>>>,
    /// `scaling.dryRun`
    pub dry_run: Option<Setting<bool>>,
    /// `scaling.pin`
    pub pin: Option<Setting<bool>>,
    /// `hold.queue`
    pub queue: Option<Setting<u32>>,
    /// `hold.seconds`
    pub deadline: Option<Setting<Duration>>,
    /// `hold.classes`
    pub classes: Option<Setting<Option<HoldClasses>>>,
    /// `hold.fairBy`
    pub fair_by: Option<Setting<FairBy>>,
    /// `includeUsage`
    pub include_usage: Option<Setting<bool>>,
    /// `retry`
    pub retry: Option<Setting<Option<Retry>>>,
    /// `timeouts`
    pub timeouts: TimeoutOverrides,
}

/// The [`RequestTimeouts`](crate::RequestTimeouts) that a document overrides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimeoutOverrides {
    /// `timeouts.connectSeconds`
    pub connect: Option<Setting<Duration>>,
    /// `timeouts.responseHeaderSeconds`
    pub response_header: Option<Setting<Duration>>,
    /// `timeouts.firstByteSeconds`
    pub first_byte: Option<Setting<Duration>>,
    /// `timeouts.streamIdleSeconds`
    pub stream_idle: Option<Setting<Duration>>,
    /// `timeouts.totalSeconds`
    pub total: Option<Setting<Option<Duration>>>,
}

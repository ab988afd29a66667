//! The defaults of models: for settings that neither the model nor its server sets.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{ABOVE_ZERO, FROM_ONE, FROM_ZERO, Reader, SECONDS, above_zero, parse};
use crate::{Policy, RequestTimeouts, Setting, number};

/// The settings of a model that neither the model nor its server sets.
#[derive(Debug)]
pub(crate) struct ModelDefaults {
    pub policy: Setting<Policy>,
    pub lag_threshold: Setting<NonZeroU32>,
    pub inactive: Setting<Duration>,
    pub stability: Setting<Duration>,
    pub target_wait: Setting<Duration>,
    pub queue: Setting<u32>,
    pub deadline: Setting<Duration>,
    pub timeouts: RequestTimeouts,
}

impl Reader<'_> {
    pub(super) fn model_defaults(&mut self) -> Option<ModelDefaults> {
        let policy = self.setting("TAILBACK_SCALING_POLICY", Policy::parse, &Policy::names());
        let lag_threshold = self.setting("SELDON_MODEL_INFERENCE_LAG_THRESHOLD", parse, FROM_ONE);
        let inactive = self.setting(
            "SELDON_MODEL_INACTIVE_SECONDS_THRESHOLD",
            above_zero,
            ABOVE_ZERO,
        );
        let stability = self.setting(
            "TAILBACK_SCALING_STABILITY_SECONDS",
            number::seconds,
            SECONDS,
        );
        let target_wait = self.setting(
            "TAILBACK_SCALING_TARGET_WAIT_SECONDS",
            number::seconds,
            SECONDS,
        );
        let queue = self.setting("TAILBACK_HOLD_QUEUE", parse, FROM_ZERO);
        let deadline = self.setting("TAILBACK_HOLD_SECONDS", above_zero, ABOVE_ZERO);
        let timeouts = self.request_timeouts();
        Some(ModelDefaults {
            policy: policy?,
            lag_threshold: lag_threshold?,
            inactive: inactive?,
            stability: stability?,
            target_wait: target_wait?,
            queue: queue?,
            deadline: deadline?,
            timeouts: timeouts?,
        })
    }

    fn request_timeouts(&mut self) -> Option<RequestTimeouts> {
        let mut limit = |name| self.setting(name, above_zero, ABOVE_ZERO);
        let connect = limit("TAILBACK_CONNECT_TIMEOUT_SECONDS");
        let response_header = limit("TAILBACK_RESPONSE_TIMEOUT_SECONDS");
        let first_byte = limit("TAILBACK_FIRST_BYTE_TIMEOUT_SECONDS");
        let stream_idle = limit("TAILBACK_STREAM_IDLE_TIMEOUT_SECONDS");
        let total = self.setting(
            "TAILBACK_TOTAL_TIMEOUT_SECONDS",
            number::seconds_or_none,
            number::SECONDS_OR_NONE,
        );
        Some(RequestTimeouts {
            connect: connect?,
            response_header: response_header?,
            first_byte: first_byte?,
            stream_idle: stream_idle?,
            total: total?,
        })
    }
}

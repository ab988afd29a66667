//! Scaling policies by name, and rate limits of the replica count.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::listed::listed;

/// A rate limit: the count may change by at most `replicas` within any span of `within`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Largest change of the count.
    pub replicas: NonZeroU32,
    /// The time span. Never zero.
    pub within: Duration,
}

/// The rule that turns lag into a replica count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// `lag`: as many replicas as demand needs, in one step.
    Lag,
    /// `lag-step`: at most one replica up or down in each period, as Seldon documents it.
    LagStep,
}

// === impl Policy ===

impl Policy {
    /// Every policy, in the order the documentation lists them.
    pub const ALL: &[Self] = &[Self::Lag, Self::LagStep];

    /// The names of all, for messages.
    pub(crate) fn names() -> String {
        listed(Self::ALL.iter().map(|policy| policy.as_str()), "or")
    }

    /// Its name in manifests and variables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lag => "lag",
            Self::LagStep => "lag-step",
        }
    }

    /// The policy named `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|policy| policy.as_str() == text)
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {} s", self.replicas, self.within.as_secs_f64())
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

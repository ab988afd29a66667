//! How a replica count follows the load: the rules there are, and how fast it may change.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// So many replicas more, or fewer, within any such time, and no more than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// By how many the count may change.
    pub replicas: NonZeroU32,
    /// Within how long. Never zero.
    pub within: Duration,
}

/// The rule that turns lag into a replica count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// `lag`: proportional, as many replicas as the lag needs, in one step.
    Lag,
    /// `lag-step`: one replica up or down a period, as Seldon documents it.
    LagStep,
}

// === impl Policy ===

impl Policy {
    /// Every policy, in the order the documentation lists them.
    pub const ALL: &[Self] = &[Self::Lag, Self::LagStep];

    /// As it is written in manifests and variables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lag => "lag",
            Self::LagStep => "lag-step",
        }
    }

    /// The policy that is written `text`.
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

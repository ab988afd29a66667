//! When a request is sent again although a replica may have processed it.

use std::fmt;

/// When, and how often, a request is sent again although a replica may have processed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// The failures after which it is sent again. Never empty, no duplicates.
    pub on: Vec<RetryCause>,
    /// The methods of requests that may be sent again; empty: all.
    pub methods: Vec<String>,
    /// How often one request is sent again at most. Never 0.
    pub attempts: u32,
    /// The limit for all requests of a model together.
    pub budget: RetryBudget,
}

/// A failure after which a request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryCause {
    /// `reset`: the connection broke before the response's header.
    Reset,
    /// `429`
    TooManyRequests,
    /// `500`
    InternalServerError,
    /// `502`
    BadGateway,
    /// `503`
    ServiceUnavailable,
    /// `504`
    GatewayTimeout,
    /// `unavailable`: this gRPC status, in a response without a message.
    Unavailable,
    /// `resource-exhausted`: this gRPC status, likewise.
    ResourceExhausted,
}

/// Limits the retries of a model, so that they do not overload replicas that are overloaded
/// already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    /// Retries for each 100 requests; 0 to 100.
    pub percent: u32,
    /// Retries a second that are always allowed.
    pub min_per_second: u32,
}

// === impl Retry ===

impl Retry {
    /// The default of `attempts`.
    pub const ATTEMPTS: u32 = 1;
    /// The largest value of `attempts`.
    pub const MOST_ATTEMPTS: u32 = 10;
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let causes: Vec<_> = self.on.iter().map(|cause| cause.as_str()).collect();
        write!(f, "on {}", causes.join(" "))?;
        if !self.methods.is_empty() {
            write!(f, ", methods {}", self.methods.join(" "))?;
        }
        let RetryBudget {
            percent,
            min_per_second,
        } = self.budget;
        write!(
            f,
            ", attempts {}, budget {percent} % or {min_per_second} a second",
            self.attempts
        )
    }
}

// === impl RetryCause ===

impl RetryCause {
    /// Every cause, in the order the documentation lists them.
    pub const ALL: [Self; 8] = [
        Self::Reset,
        Self::TooManyRequests,
        Self::InternalServerError,
        Self::BadGateway,
        Self::ServiceUnavailable,
        Self::GatewayTimeout,
        Self::Unavailable,
        Self::ResourceExhausted,
    ];

    /// Its name in manifests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::TooManyRequests => "429",
            Self::InternalServerError => "500",
            Self::BadGateway => "502",
            Self::ServiceUnavailable => "503",
            Self::GatewayTimeout => "504",
            Self::Unavailable => "unavailable",
            Self::ResourceExhausted => "resource-exhausted",
        }
    }
}

// === impl RetryBudget ===

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            percent: 20,
            min_per_second: 1,
        }
    }
}

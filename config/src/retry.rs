//! When a request is sent again although a replica may have processed it.

use std::fmt;

/// When, and how often, a request is sent again although a replica may have processed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// What must have come of it. Never empty, none twice.
    pub on: Vec<RetryCause>,
    /// The methods of such requests; empty: any.
    pub methods: Vec<String>,
    /// How often one request is sent again at most. Never 0.
    pub attempts: u32,
    /// How many requests are.
    pub budget: RetryBudget,
}

/// What must have come of a request for it to be sent again.
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
    /// `unavailable`: gRPC's status, in an answer without a message.
    Unavailable,
    /// `resource-exhausted`: likewise.
    ResourceExhausted,
}

/// How many requests of a model are sent again at most, so that retries do not overload what is
/// overloaded already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    /// Of 100 requests; 0 to 100.
    pub percent: u32,
    /// So many a second in any case.
    pub min_per_second: u32,
}

// === impl Retry ===

impl Retry {
    /// How often a request is sent again, where nothing is said.
    pub const ATTEMPTS: u32 = 1;
    /// The most that may be said.
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

    /// As it is written in manifests.
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

//! Reasons for retries: the values of a metric label.

use tailback_config::RetryCause;

/// Why a request was retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryReason {
    /// No connection to the replica could be opened.
    Connect,
    /// The replica has not processed the request, or processing it twice does no harm.
    Unprocessed,
    /// A cause that the model's `retry` lists.
    Cause(RetryCause),
}

impl RetryReason {
    /// The number of reasons.
    pub const COUNT: usize = 2 + RetryCause::ALL.len();

    /// All reasons, in the order of [`index`](Self::index).
    pub fn all() -> impl Iterator<Item = Self> {
        let causes = RetryCause::ALL.into_iter().map(Self::Cause);
        [Self::Connect, Self::Unprocessed].into_iter().chain(causes)
    }

    /// A position below [`COUNT`](Self::COUNT).
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Connect => 0,
            Self::Unprocessed => 1,
            Self::Cause(cause) => 2 + cause as usize,
        }
    }

    /// The value of the metric label `reason`. A cause is labelled as manifests name it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Unprocessed => "unprocessed",
            Self::Cause(cause) => cause.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_place() {
        assert_eq!(RetryReason::all().count(), RetryReason::COUNT);
        for (place, reason) in RetryReason::all().enumerate() {
            assert_eq!(reason.index(), place, "{}", reason.label());
        }
    }
}

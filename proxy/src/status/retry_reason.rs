//! Why a request was sent again: each a metric label.

use tailback_config::RetryCause;

/// Why a request was sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryReason {
    /// No connection to the replica could be opened.
    Connect,
    /// The replica has not processed it, or it does no harm to process it twice.
    Unprocessed,
    /// The model's `retry` says so.
    Cause(RetryCause),
}

impl RetryReason {
    /// How many there are.
    pub const COUNT: usize = 2 + RetryCause::ALL.len();

    /// All of them, in the order of [`index`](Self::index).
    pub fn all() -> impl Iterator<Item = Self> {
        let causes = RetryCause::ALL.into_iter().map(Self::Cause);
        [Self::Connect, Self::Unprocessed].into_iter().chain(causes)
    }

    /// Below [`COUNT`](Self::COUNT).
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Connect => 0,
            Self::Unprocessed => 1,
            Self::Cause(cause) => 2 + cause as usize,
        }
    }

    /// The metric label; of a cause, as manifests have it.
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

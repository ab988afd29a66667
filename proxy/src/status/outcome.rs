//! How a request ended: one of few, each a metric label.

use crate::status::GrpcCode;

/// What became of a request that arrived for a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered by a replica with a status below 400, to the last byte.
    Success,
    /// Answered by a replica with a 4xx status.
    Refused,
    /// Answered by a replica with a 5xx status.
    ServerError,
    /// The caller left, or sent less than it announced.
    CallerGone,
    /// The caller stopped sending or receiving for longer than allowed.
    CallerSlow,
    /// No replica could be reached.
    Unreachable,
    /// A replica closed or broke its connection before its answer was complete.
    UpstreamReset,
    /// A replica took longer than allowed.
    UpstreamSlow,
    /// The queue of held requests was full.
    QueueFull,
    /// Held until its deadline; no replica had room.
    HeldTooLong,
    /// The time that its caller gave it (`grpc-timeout`) was over.
    PastDeadline,
    /// Tailback ended it: the time was over that a replica, or the proxy itself, has to
    /// finish its requests before it goes.
    Drained,
}

impl Outcome {
    /// All of them, in the order of [`index`](Self::index).
    pub const ALL: [Self; 12] = [
        Self::Success,
        Self::Refused,
        Self::ServerError,
        Self::CallerGone,
        Self::CallerSlow,
        Self::Unreachable,
        Self::UpstreamReset,
        Self::UpstreamSlow,
        Self::QueueFull,
        Self::HeldTooLong,
        Self::PastDeadline,
        Self::Drained,
    ];

    /// Position in [`ALL`](Self::ALL).
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused => "refused",
            Self::ServerError => "server_error",
            Self::CallerGone => "caller_gone",
            Self::CallerSlow => "caller_slow",
            Self::Unreachable => "unreachable",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamSlow => "upstream_slow",
            Self::QueueFull => "queue_full",
            Self::HeldTooLong => "held_too_long",
            Self::PastDeadline => "past_deadline",
            Self::Drained => "drained",
        }
    }

    /// Whether a replica or the proxy is to blame, rather than the caller.
    #[must_use]
    pub fn is_fault(self) -> bool {
        match self {
            Self::Success
            | Self::Refused
            | Self::CallerGone
            | Self::CallerSlow
            | Self::PastDeadline => false,
            Self::ServerError
            | Self::Unreachable
            | Self::UpstreamReset
            | Self::UpstreamSlow
            | Self::QueueFull
            | Self::HeldTooLong
            | Self::Drained => true,
        }
    }

    /// What it is if the answer did not get through to the caller for `lost`:
    /// that only matters of a replica's answers.
    #[must_use]
    pub fn undelivered(self, lost: Self) -> Self {
        match self {
            Self::Success | Self::Refused | Self::ServerError => lost,
            other => other,
        }
    }

    /// What a replica's answer with `status` is, once its last byte went out.
    #[must_use]
    pub fn of_status(status: http::StatusCode) -> Self {
        match status.as_u16() {
            500.. => Self::ServerError,
            400.. => Self::Refused,
            _ => Self::Success,
        }
    }

    /// What a replica's answer to a gRPC call is. Codes that say that the call
    /// itself was at fault are refusals, as 4xx are (Google's `code.proto` has
    /// the status of HTTP for each).
    #[must_use]
    pub fn of_code(code: GrpcCode) -> Self {
        use GrpcCode::*;
        match code {
            Ok => Self::Success,
            Cancelled | InvalidArgument | NotFound | AlreadyExists | PermissionDenied
            | ResourceExhausted | FailedPrecondition | Aborted | OutOfRange | Unauthenticated => {
                Self::Refused
            }
            Unknown | DeadlineExceeded | Unimplemented | Internal | Unavailable | DataLoss => {
                Self::ServerError
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_that_is_lost_on_its_way_is_no_success() {
        let lost = Outcome::CallerGone;
        assert_eq!(Outcome::Success.undelivered(lost), lost);
        assert_eq!(Outcome::ServerError.undelivered(lost), lost);
        let own = Outcome::QueueFull;
        assert_eq!(own.undelivered(lost), own);
    }

    #[test]
    fn every_outcome_has_its_place_and_a_label_of_its_own() {
        let mut labels: Vec<_> = Outcome::ALL.iter().map(|o| o.label()).collect();
        for (place, outcome) in Outcome::ALL.iter().enumerate() {
            assert_eq!(outcome.index(), place);
        }
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Outcome::ALL.len());
    }
}

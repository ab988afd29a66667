//! Outcomes of requests: the values of a metric label.

use crate::status::GrpcCode;

/// How a request that arrived for a model ended.
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
    /// A replica closed or broke its connection before its response was complete.
    UpstreamReset,
    /// A replica took longer than allowed.
    UpstreamSlow,
    /// The queue of held requests was full.
    QueueFull,
    /// Held until its deadline; no replica had room.
    HeldTooLong,
    /// The caller's own deadline (`grpc-timeout`) passed.
    PastDeadline,
    /// Tailback ended it, because a replica or the proxy itself was stopping and its drain time was
    /// over.
    Drained,
    /// The request was cancelled through the admin address.
    Cancelled,
}

impl Outcome {
    /// All outcomes, in the order of [`index`](Self::index).
    pub const ALL: [Self; 13] = [
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
        Self::Cancelled,
    ];

    /// Position in [`ALL`](Self::ALL).
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The value of the metric label `outcome`.
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
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether a replica or the proxy is at fault, not the caller.
    #[must_use]
    pub fn is_fault(self) -> bool {
        match self {
            Self::Success
            | Self::Refused
            | Self::CallerGone
            | Self::CallerSlow
            | Self::PastDeadline
            | Self::Cancelled => false,
            Self::ServerError
            | Self::Unreachable
            | Self::UpstreamReset
            | Self::UpstreamSlow
            | Self::QueueFull
            | Self::HeldTooLong
            | Self::Drained => true,
        }
    }

    /// The outcome if the response did not reach the caller because of `lost`. Replaces only the
    /// outcomes of replicas' responses.
    #[must_use]
    pub fn undelivered(self, lost: Self) -> Self {
        match self {
            Self::Success | Self::Refused | Self::ServerError => lost,
            other => other,
        }
    }

    /// The outcome of a replica's response with `status`, once it was sent completely.
    #[must_use]
    pub fn of_status(status: http::StatusCode) -> Self {
        match status.as_u16() {
            500.. => Self::ServerError,
            400.. => Self::Refused,
            _ => Self::Success,
        }
    }

    /// The outcome of a gRPC response with `code`. Codes that blame the call itself count as
    /// refused, like HTTP 4xx (Google's `code.proto` maps codes to HTTP statuses).
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
    fn a_response_lost_on_its_way_is_no_success() {
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

//! What the header of a response shows about the health of its replica.

use std::time::{Duration, SystemTime};

use http::{StatusCode, header::RETRY_AFTER};
use tailback_scaler::replica::health::Failure;

use crate::{
    exchange::ReplicaHandle,
    message::{HeaderMap, Response},
    status::{GrpcCode, MethodType},
    upstream::ReplicaRef,
};

/// The shortest back-off, also for a replica that asks for one without `Retry-After`.
const SHORTEST_BACK_OFF: Duration = Duration::from_secs(1);
/// The longest back-off, whatever the replica asks for.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);

/// What a response shows about the health of its replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplicaAnswer {
    /// The replica works.
    Fine,
    /// The replica fails.
    Failed(Failure),
    /// The replica works, and asks for no more requests for this time: 429, or 503 with
    /// `Retry-After`.
    BackOff(Duration),
    /// Not known yet: the gRPC status is in the trailers.
    Unknown,
}

impl ReplicaAnswer {
    pub(super) fn of<B>(response: &Response<B>, method: MethodType) -> Self {
        let (status, headers) = (response.status(), response.headers());
        match status.as_u16() {
            200 if method == MethodType::Grpc => match GrpcCode::is_in(headers) {
                true => Self::of_code(GrpcCode::of(headers)),
                false => Self::Unknown,
            },
            429 => Self::BackOff(back_off(headers).unwrap_or(SHORTEST_BACK_OFF)),
            503 if headers.contains_key(RETRY_AFTER) => {
                Self::BackOff(back_off(headers).unwrap_or(SHORTEST_BACK_OFF))
            }
            code @ 500.. if status != StatusCode::NOT_IMPLEMENTED => {
                Self::Failed(Failure::Status(code))
            }
            _ => Self::Fine,
        }
    }

    /// From a gRPC status. Codes count as failures as in Envoy: those that correspond to HTTP
    /// server errors.
    pub(super) fn of_code(code: GrpcCode) -> Self {
        match code {
            GrpcCode::Unknown
            | GrpcCode::Internal
            | GrpcCode::Unavailable
            | GrpcCode::DataLoss
            | GrpcCode::DeadlineExceeded => Self::Failed(Failure::Grpc(code as u8)),
            _ => Self::Fine,
        }
    }

    /// Records it in the replica's health.
    pub(super) fn note(self, replica: &ReplicaRef) {
        match self {
            Self::Fine => replica.replica.health().succeeded(),
            Self::Failed(failure) => replica.failed(failure),
            Self::BackOff(time) => replica.back_off(time),
            Self::Unknown => {}
        }
    }
}

/// The time in `Retry-After`, in seconds or as a date (RFC 9110, 10.2.3), clamped to the limits.
fn back_off(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let time = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            date.duration_since(SystemTime::now()).unwrap_or_default()
        }
    };
    Some(time.clamp(SHORTEST_BACK_OFF, LONGEST_BACK_OFF))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, fields: &[(&str, &str)], method: MethodType) -> ReplicaAnswer {
        let mut response = http::Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        ReplicaAnswer::of(&response.body(()).unwrap().into(), method)
    }

    #[test]
    fn server_errors_are_failures_and_a_request_for_a_pause_is_not() {
        use ReplicaAnswer::{BackOff, Failed, Fine, Unknown};
        let seconds = Duration::from_secs;
        let date = httpdate::fmt_http_date(SystemTime::now() + seconds(3600));
        for (status, fields, expected) in [
            (200, vec![], Fine),
            (404, vec![], Fine),
            (500, vec![], Failed(Failure::Status(500))),
            (501, vec![], Fine),
            (503, vec![], Failed(Failure::Status(503))),
            (503, vec![("retry-after", "7")], BackOff(seconds(7))),
            (503, vec![("retry-after", "soon")], BackOff(seconds(1))),
            (429, vec![], BackOff(seconds(1))),
            (429, vec![("retry-after", "0")], BackOff(seconds(1))),
            (
                429,
                vec![("retry-after", "99999999999")],
                BackOff(seconds(60)),
            ),
            (429, vec![("retry-after", &date)], BackOff(seconds(60))),
            (
                500,
                vec![("retry-after", "7")],
                Failed(Failure::Status(500)),
            ),
        ] {
            let found = answer(status, &fields, MethodType::Rest);
            assert_eq!(found, expected, "{status} {fields:?}");
        }
        let grpc = MethodType::Grpc;
        assert_eq!(answer(200, &[], grpc), Unknown);
        for (code, expected) in [
            ("0", Fine),
            ("3", Fine),
            ("8", Fine),
            ("12", Fine),
            ("13", Failed(Failure::Grpc(13))),
            ("14", Failed(Failure::Grpc(14))),
        ] {
            assert_eq!(
                answer(200, &[("grpc-status", code)], grpc),
                expected,
                "{code}"
            );
        }
        assert_eq!(answer(503, &[], grpc), Failed(Failure::Status(503)));
    }
}

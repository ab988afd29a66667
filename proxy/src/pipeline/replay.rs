//! Decides whether a request is sent again after it got no response, or one that should be retried.
//! Requests that were certainly not processed are always sent again, others as the model's `retry`
//! says.

use std::time::Duration;

use http::Method;
use tailback_config::{Retry, RetryCause};
use tailback_scaler::clock::Nanos;

use crate::{
    admission::RetryBudget,
    message::Response,
    status::{GrpcCode, MethodType},
};

/// How many times a request may fail to reach a replica. From the second failure on, it waits 20
/// ms, 40 ms, … before the next attempt. That is long enough for a crashed replica to be removed
/// from the pool, upon which the request is held.
const UNREACHABLE: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(20);
/// How many times a request may be sent again because no replica processed it. On HTTP/1.1, a new
/// connection is used from the second attempt on.
const RETURNED: u32 = 3;
/// How many replicas may ask for a pause before the request gets that response.
const DEFERRED: u32 = 16;
/// The longest wait before the first retry, doubled for each further one up to the limit.
const FIRST_BACK_OFF: Duration = Duration::from_millis(25);
const LONGEST_BACK_OFF: Duration = Duration::from_millis(250);

/// How many times one request was sent again, by cause.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Replays {
    unreachable: u32,
    returned: u32,
    /// How many replicas have asked for a pause.
    deferred: u32,
    retried: u32,
}

/// Whether a request is retried by the model's `retry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// After this wait.
    Again(Duration),
    /// Not, because the budget is used up.
    OverBudget,
    /// Not, because `retry` does not include the cause.
    No,
}

impl Replays {
    /// Whether it was sent before, or was about to be.
    pub(super) fn any(self) -> bool {
        self.unreachable + self.returned + self.deferred + self.retried > 0
    }

    /// A replica could not be reached. Returns how long to wait before the next attempt; `None`:
    /// give up.
    pub(super) fn after_unreachable(&mut self) -> Option<Duration> {
        self.unreachable += 1;
        match self.unreachable {
            1 => Some(Duration::ZERO),
            UNREACHABLE.. => None,
            more => Some(FIRST_WAIT * (1 << (more - 2))),
        }
    }

    /// No replica has processed the request. Returns whether to send it again.
    pub(super) fn after_return(&mut self) -> bool {
        self.returned += 1;
        self.returned <= RETURNED
    }

    /// A replica has asked for a pause instead of processing the request. Returns whether to try
    /// another one.
    pub(super) fn after_back_off(&mut self) -> bool {
        self.deferred += 1;
        self.deferred <= DEFERRED
    }

    /// A replica may have processed the request; `cause` says what went wrong. `retry`: the model's
    /// setting and its budget.
    pub(super) fn after(
        &mut self,
        cause: RetryCause,
        method: &Method,
        retry: Option<(&Retry, &RetryBudget)>,
        now: Nanos,
    ) -> Verdict {
        let Some((retry, budget)) = retry else {
            return Verdict::No;
        };
        let of_method = |methods: &[String]| {
            methods.is_empty() || methods.iter().any(|known| known == method.as_str())
        };
        if !retry.on.contains(&cause)
            || !of_method(&retry.methods)
            || self.retried >= retry.attempts
        {
            return Verdict::No;
        }
        if !budget.withdraw(now) {
            return Verdict::OverBudget;
        }
        let most = (FIRST_BACK_OFF * (1 << self.retried.min(8))).min(LONGEST_BACK_OFF);
        self.retried += 1;
        // Jitter, because many requests may fail at once.
        Verdict::Again(most.mul_f64(fastrand::f64()))
    }
}

/// The cause in a response's header that `retry` may list.
pub(super) fn cause_of<B>(response: &Response<B>, method: MethodType) -> Option<RetryCause> {
    match response.status().as_u16() {
        429 => Some(RetryCause::TooManyRequests),
        500 => Some(RetryCause::InternalServerError),
        502 => Some(RetryCause::BadGateway),
        503 => Some(RetryCause::ServiceUnavailable),
        504 => Some(RetryCause::GatewayTimeout),
        // A gRPC response without messages has its status in the header.
        200 if method == MethodType::Grpc && GrpcCode::is_in(response.headers()) => {
            match GrpcCode::of(response.headers()) {
                GrpcCode::Unavailable => Some(RetryCause::Unavailable),
                GrpcCode::ResourceExhausted => Some(RetryCause::ResourceExhausted),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(on: &[RetryCause], methods: &[&str], attempts: u32) -> (Retry, RetryBudget) {
        let budget = tailback_config::RetryBudget {
            percent: 100,
            min_per_second: 0,
        };
        let retry = Retry {
            on: on.to_vec(),
            methods: methods.iter().map(|&method| method.to_owned()).collect(),
            attempts,
            budget,
        };
        (retry, RetryBudget::new(budget, 1))
    }

    #[test]
    fn requests_that_may_have_been_processed_are_retried_only_as_configured() {
        let (retry, budget) = retry(&[RetryCause::Reset], &["POST"], 2);
        for _ in 0..10 {
            budget.deposit();
        }
        let mut replays = Replays::default();
        let mut after = |cause, method, retry| replays.after(cause, &method, retry, Nanos(0));
        let policy = Some((&retry, &budget));
        assert_eq!(after(RetryCause::Reset, Method::POST, None), Verdict::No);
        assert_eq!(after(RetryCause::Reset, Method::PUT, policy), Verdict::No);
        assert_eq!(
            after(RetryCause::BadGateway, Method::POST, policy),
            Verdict::No
        );
        for _ in 0..2 {
            let verdict = after(RetryCause::Reset, Method::POST, policy);
            assert!(matches!(verdict, Verdict::Again(_)), "{verdict:?}");
        }
        assert_eq!(after(RetryCause::Reset, Method::POST, policy), Verdict::No);
    }

    #[test]
    fn no_request_is_retried_when_the_budget_is_used_up() {
        let (retry, budget) = retry(&[RetryCause::ServiceUnavailable], &[], 10);
        budget.deposit();
        let mut replays = Replays::default();
        let mut after = || {
            let cause = RetryCause::ServiceUnavailable;
            replays.after(cause, &Method::POST, Some((&retry, &budget)), Nanos(0))
        };
        assert!(matches!(after(), Verdict::Again(_)));
        assert_eq!(after(), Verdict::OverBudget);
        budget.deposit();
        assert!(matches!(after(), Verdict::Again(wait) if wait <= 2 * FIRST_BACK_OFF));
    }

    #[test]
    fn six_replicas_are_tried_and_unprocessed_requests_are_sent_again_three_times() {
        let mut replays = Replays::default();
        assert!(!replays.any());
        let waits: Vec<_> = std::iter::from_fn(|| replays.after_unreachable())
            .map(|wait| wait.as_millis())
            .collect();
        assert_eq!(waits, [0, 20, 40, 80, 160]);
        let returns = (0..9).filter(|_| replays.after_return()).count();
        assert_eq!(returns, 3);
    }

    #[test]
    fn causes_follow_from_the_status_and_for_grpc_from_the_header_of_a_response_without_messages() {
        let cause = |status: u16, grpc: Option<&str>, api| {
            let mut response = http::Response::builder().status(status);
            if let Some(grpc) = grpc {
                response = response.header("grpc-status", grpc);
            }
            cause_of(&response.body(()).unwrap().into(), api)
        };
        let rest = MethodType::Rest;
        assert_eq!(cause(503, None, rest), Some(RetryCause::ServiceUnavailable));
        assert_eq!(cause(501, None, rest), None);
        assert_eq!(cause(200, Some("14"), rest), None);
        let grpc = MethodType::Grpc;
        assert_eq!(cause(200, Some("14"), grpc), Some(RetryCause::Unavailable));
        assert_eq!(
            cause(200, Some("8"), grpc),
            Some(RetryCause::ResourceExhausted)
        );
        assert_eq!(cause(200, Some("0"), grpc), None);
        assert_eq!(cause(200, None, grpc), None);
        assert_eq!(cause(503, None, grpc), Some(RetryCause::ServiceUnavailable));
    }
}

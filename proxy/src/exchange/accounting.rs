//! Accounting of one request, from its arrival to its end.

use std::rc::Rc;

use http::{HeaderValue, StatusCode};
use tailback_scaler::{
    clock::Nanos,
    ledger::{InFlight, Ledger},
    replica::health::Failure,
};

use super::{
    account::{AccountRef, ReplicaHandle},
    presence::{Presence, Subject},
};
use crate::{
    api_keys::KeyUse,
    message::HeaderMap,
    protocol::{
        api::Route,
        json_follower::Form,
        llm::{LlmApi, SignalScanner},
    },
    status::{GrpcCode, MethodType, Outcome, ResponseStatus, RetryReason},
    telemetry::{access_log::AccessLogEntry, traces::RequestTrace},
};

/// A request to a model. Dropping it counts it out, with the outcome that was set last. The
/// initial outcome is that the caller left.
#[derive(Debug)]
pub struct Exchange {
    account: AccountRef,
    /// `None` for a probe, which is not counted.
    in_flight: Option<InFlight<AccountRef>>,
    /// Whether enough of its body is there to send it to a replica.
    is_ready: bool,
    /// The API key that it counts for, if there are keys.
    key: Option<KeyUse>,
    arrived: Nanos,
    outcome: Outcome,
    status: ResponseStatus,
    /// The last replica that the request was sent to.
    replica: Option<Rc<dyn ReplicaHandle>>,
    /// Reads token counts from the response of a language model.
    llm: Option<Box<SignalScanner>>,
    /// The access log entry, if there is an access log.
    entry: Option<Box<AccessLogEntry>>,
    /// Its trace, if it is traced.
    trace: Option<Box<RequestTrace>>,
    /// Its entry among the requests that the admin address shows.
    presence: Option<Presence>,
}

impl Exchange {
    /// Counts a request as arrived. Unless its `whole` body is there, it counts as demand for
    /// replicas only from [`ready`](Self::ready) on.
    #[must_use]
    pub fn arrive(
        account: &AccountRef,
        now: Nanos,
        whole: bool,
        method: MethodType,
        key: Option<KeyUse>,
        mut entry: Option<Box<AccessLogEntry>>,
        mut trace: Option<Box<RequestTrace>>,
    ) -> Self {
        if let Some(trace) = &mut trace {
            trace.arrive(&account.0.name);
        }
        if let Some(entry) = &mut entry {
            entry.arrive(&account.0.name, now);
            if let Some(key) = &key {
                entry.authenticated(key.name());
            }
        }
        Self {
            entry,
            llm: None,
            account: account.clone(),
            in_flight: Some(match whole {
                true => {
                    let span = || trace.as_ref().map(|trace| trace.span());
                    Ledger::arrive_traced(account.clone(), now, span)
                }
                false => Ledger::arrive_unready(account.clone(), now),
            }),
            is_ready: whole,
            key,
            arrived: now,
            outcome: Outcome::CallerGone,
            replica: None,
            status: ResponseStatus::Nothing(method),
            trace,
            presence: None,
        }
    }

    /// A request about the model, such as for its readiness. It is not counted, and does not count
    /// as use of the model.
    #[must_use]
    pub fn probe(account: &AccountRef, now: Nanos, method: MethodType) -> Self {
        Self {
            entry: None,
            trace: None,
            llm: None,
            account: account.clone(),
            in_flight: None,
            is_ready: true,
            key: None,
            arrived: now,
            outcome: Outcome::CallerGone,
            replica: None,
            status: ResponseStatus::Nothing(method),
            presence: None,
        }
    }

    /// From now on the admin address lists the request, and can cancel it. `route` is its route,
    /// and `subject` carries it out.
    pub fn show(&mut self, route: Option<&'static Route>, subject: &Rc<impl Subject + 'static>) {
        let subject = Rc::downgrade(subject);
        self.presence = Presence::new(self.account.clone(), self.arrived, route, subject);
    }

    /// Removes the request from that list, because nothing is left to cancel.
    pub fn hide(&mut self) {
        self.presence = None;
    }

    /// From `now` on, enough of its body is there to send it to a replica.
    pub fn ready(&mut self, now: Nanos) {
        if !std::mem::replace(&mut self.is_ready, true)
            && let Some(in_flight) = &self.in_flight
        {
            in_flight.ready(now, || self.trace.as_ref().map(|trace| trace.span()));
        }
    }

    /// The API key that it counts for, if there are keys.
    #[must_use]
    pub fn key(&self) -> Option<&KeyUse> {
        self.key.as_ref()
    }

    /// The request is sent to `replica`. Returns the header field `traceparent` to send there, if it
    /// is traced.
    pub fn give(&mut self, replica: Rc<dyn ReplicaHandle>) -> Option<HeaderValue> {
        if let Some(entry) = &mut self.entry {
            entry.give(replica.replica(), Nanos::now());
        }
        let parent = self.trace.as_mut();
        let parent = parent.map(|trace| trace.give(replica.replica()));
        if let Some(presence) = &self.presence {
            presence.give(replica.clone());
        }
        self.replica = Some(replica);
        parent
    }

    /// Notes that the request asks for a replica.
    pub fn asks(&mut self) {
        if let Some(trace) = &mut self.trace {
            trace.asks();
        }
    }

    /// The request got a replica, or will not get one. `was_held`: whether it was held meanwhile.
    pub fn admitted(&mut self, was_held: bool) {
        if let Some(trace) = &mut self.trace {
            trace.admitted(was_held);
        }
    }

    /// A replica has responded. Whether the caller gets this response is not decided yet.
    pub fn responded(&mut self, status: StatusCode) {
        if let Some(trace) = &mut self.trace {
            trace.responded(status);
        }
    }

    /// The request's last replica has failed it.
    pub fn replica_failed(&self, failure: Failure) {
        if let Some(replica) = &self.replica {
            replica.failed(failure);
        }
    }

    /// The attempt at a replica is abandoned, and will be repeated after a pause.
    pub fn give_up(&mut self, reason: RetryReason) {
        if let Some(trace) = &mut self.trace {
            trace.give_up(reason);
        }
    }

    /// The request is retried.
    pub fn retry(&mut self, reason: RetryReason) {
        self.account.0.metrics.retried(reason);
        if let Some(entry) = &mut self.entry {
            entry.retry();
        }
    }

    /// The request is not retried, because the budget is used up.
    pub fn retry_refused(&self) {
        self.account.0.metrics.retry_refused();
    }

    /// A replica's response begins, in the format `api`. Its token counts will be recorded, unless
    /// it is an error or compressed.
    pub fn watch_tokens(&mut self, api: LlmApi, status: StatusCode, headers: &HeaderMap) {
        if status.is_success()
            && let Some(form) = Form::of(headers)
        {
            let scanner = SignalScanner::new(api, form).naming(self.trace.is_some());
            self.llm = Some(Box::new(scanner));
        }
    }

    /// Notes that `piece` of the response body is sent to the caller.
    pub fn sent(&mut self, piece: &[u8]) {
        if let Some(entry) = &mut self.entry {
            entry.sent(piece.len());
        }
        if let Some(llm) = &mut self.llm {
            llm.feed(piece, Nanos::now());
        }
        if let Some(presence) = &self.presence {
            let generation = self.llm.as_ref().map(|llm| llm.generation());
            let tokens = generation.map(|own| own.generated.unwrap_or(own.objects));
            presence.sent(piece.len(), tokens);
        }
    }

    /// Sets the outcome as known so far.
    pub fn set_outcome(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// The caller has left before the end of the response. If the response is a stream whose last
    /// event was sent, the caller has got all of it: clients do not wait for the end of the
    /// stream.
    pub fn caller_left(&mut self) {
        self.outcome = match &self.llm {
            Some(llm) if llm.is_over() => Outcome::Success,
            _ => Outcome::CallerGone,
        };
    }

    /// The response was handed to the connection, but did not reach the caller because of `lost`.
    pub fn undelivered(&mut self, lost: Outcome) {
        self.outcome = self.outcome.undelivered(lost);
    }

    /// Sets the status that the caller gets.
    pub fn set_status(&mut self, status: ResponseStatus) {
        self.status = status;
    }

    /// Whether the replica was stopped while it had requests in flight.
    fn is_cut(&self) -> bool {
        self.replica
            .as_ref()
            .is_some_and(|replica| replica.replica().is_cut())
    }

    /// A replica has answered a gRPC call with `code`, which determines the outcome instead of the
    /// HTTP status.
    pub fn answered(&mut self, code: GrpcCode) {
        self.status = ResponseStatus::Grpc(code);
        self.outcome = Outcome::of_code(code);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let Some(in_flight) = self.in_flight.take() else {
            self.account.0.metrics.asked(self.replica.is_some());
            return;
        };
        let now = Nanos::now();
        if self.outcome == Outcome::UpstreamReset && self.is_cut() {
            self.outcome = Outcome::Drained;
        }
        let span = self.trace.as_ref().map(|trace| trace.span());
        let (metrics, took) = (&self.account.0.metrics, now.since(self.arrived));
        metrics.completed(self.outcome, self.status, took, span.as_ref());
        if let Some(key) = self.key.take() {
            key.end(self.outcome);
        }
        let mut llm = self.llm.take();
        let generation = llm.as_ref().map(|llm| *llm.generation());
        if let Some(generation) = &generation {
            let metrics = &self.account.0.metrics.llm;
            metrics.record(generation, self.arrived, span.as_ref());
            if let Some(entry) = &mut self.entry {
                entry.generated(*generation);
            }
        }
        // Logged before it counts as completed, so that the log is complete once nothing is in
        // flight.
        if let Some(entry) = self.entry.take() {
            entry.finish(now, self.outcome, self.status);
        }
        if let Some(mut trace) = self.trace.take() {
            trace.answering_model(llm.as_mut().and_then(|llm| llm.take_model()));
            trace.finish(now, self.outcome, self.status, generation);
        }
        match self.is_ready {
            true => in_flight.complete_at(now),
            // It never was demand, so it must not wake the scaler now.
            false => in_flight.leave_unready_at(now),
        }
    }
}

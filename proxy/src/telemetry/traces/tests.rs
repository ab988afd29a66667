use metrics::Counter;
use opentelemetry::InstrumentationScope;
use opentelemetry::trace::Status;
use tailback_scaler::clock::Nanos;

use super::*;
use crate::{
    status::{MethodType, Outcome, ResponseStatus, RetryReason},
    telemetry::{polled_queue::QueueReceiver, wall_clock::WallClock},
};

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";

/// A tracer with a queue that nothing reads from.
fn tracer(ratio: f64, room: usize) -> (Tracer, QueueReceiver<RequestTrace>) {
    let (queue, receiver) = queue(room, Counter::noop());
    let settings = tailback_config::Sampler {
        is_parent_based: true,
        ratio,
    };
    let tracer = Tracer(Box::leak(Box::new(Shared {
        sampler: sampler(settings),
        queue,
    })));
    (tracer, receiver)
}

fn headers(parent: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !parent.is_empty() {
        headers.insert(TRACEPARENT, parent.parse().unwrap());
        headers.insert(TRACESTATE, HeaderValue::from_static("v=1"));
    }
    headers
}

fn begin(tracer: Tracer) -> Option<Box<RequestTrace>> {
    let caller = || TracedCaller {
        address: HeaderValue::from_static("10.0.0.1"),
        scheme: "http",
        version: "2",
    };
    let mut headers = headers("");
    RequestTrace::begin(tracer, &http::Method::POST, "/a", &mut headers, caller)
}

#[test]
fn a_caller_that_has_decided_decides_and_else_the_ratio() {
    let (always, _queue) = tracer(1.0, 1);
    let (never, _queue) = tracer(0.0, 1);
    for (tracer, parent, is_traced) in [
        (always, "", true),
        (never, "", false),
        (always, &*format!("{CALLER}-00"), false),
        (never, &*format!("{CALLER}-01"), true),
        (always, "00-nonsense-01", true),
    ] {
        let mut told = headers(parent);
        let position = tracer.place(&mut told);
        assert_eq!(position.is_some(), is_traced, "{parent}");
        let said = told.get(TRACEPARENT).map(|value| value.to_str().unwrap());
        match position {
            Some(position) if parent.starts_with(CALLER) => {
                assert!(CALLER.contains(&position.trace.to_string()));
                assert!(CALLER.contains(&position.parent.to_string()));
                assert_eq!(position.state.get("v"), Some("1"));
            }
            Some(position) => {
                assert_eq!(position.parent, SpanId::INVALID);
                assert!(!told.contains_key(TRACESTATE), "it is of an unknown trace");
            }
            None if parent.is_empty() => assert!(said.unwrap().ends_with("-00")),
            None => assert_eq!(said, Some(parent)),
        }
    }
}

#[test]
fn requests_that_do_not_fit_are_dropped_without_a_wait() {
    let (tracer, queue) = tracer(1.0, 2);
    for _ in 0..5 {
        let status = ResponseStatus::Http(http::StatusCode::NOT_FOUND);
        begin(tracer).unwrap().refused(status);
    }
    assert_eq!(queue.try_iter().count(), 2);
}

#[test]
fn whoever_leaves_ends_what_was_open() {
    let (tracer, queue) = tracer(1.0, 2);
    let scope = InstrumentationScope::builder("t").build();
    // While it is held.
    let mut held = begin(tracer).unwrap();
    held.arrive("m");
    held.asks();
    let status = ResponseStatus::Nothing(MethodType::Rest);
    held.finish(Nanos::now(), Outcome::CallerGone, status, None);
    let held = queue.try_iter().next().unwrap();
    let spans = spans::spans(&held, &scope, WallClock::read());
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["POST", "hold"]);
    assert_eq!(spans[0].end_time, spans[1].end_time);
    // Before its model is known.
    drop(EarlyTrace::new(begin(tracer)));
    let early = queue.try_iter().next().unwrap();
    let [span] = &spans::spans(&early, &scope, WallClock::read())[..] else {
        panic!("one span");
    };
    let outcome = span
        .attributes
        .iter()
        .find(|own| own.key.as_str() == "tailback.outcome");
    assert_eq!(outcome.unwrap().value.as_str(), "caller_gone");
    // After `take`, dropping it ends nothing.
    drop(EarlyTrace::new(begin(tracer)).take());
    assert_eq!(queue.try_iter().count(), 0);
}

#[test]
fn each_attempt_and_each_hold_is_a_span_within_the_request_s() {
    let (tracer, queue) = tracer(1.0, 1);
    let mut trace = begin(tracer).unwrap();
    trace.arrive("m");
    trace.asks();
    trace.admitted(false);
    trace.asks();
    trace.admitted(true);
    let replica = tailback_scaler::replica::Replica::new("m-0", "[::1]:80", None);
    let first = trace.give(&replica);
    trace.give_up(RetryReason::Connect);
    let pause = Nanos::now();
    let second = trace.give(&replica);
    assert_ne!(first, second);
    trace.responded(http::StatusCode::OK);
    let status = ResponseStatus::Http(http::StatusCode::OK);
    trace.finish(Nanos::now(), Outcome::UpstreamReset, status, None);
    let trace = queue.try_iter().next().unwrap();
    let scope = InstrumentationScope::builder("t").build();
    let clock = WallClock::read();
    let spans = spans::spans(&trace, &scope, clock);
    let [request, hold, first, second] = &spans[..] else {
        panic!("{spans:?}");
    };
    for child in [hold, first, second] {
        assert_eq!(child.parent_span_id, request.span_context.span_id());
        assert!(child.start_time >= request.start_time && child.end_time <= request.end_time);
    }
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["POST", "hold", "POST", "POST"]);
    assert_eq!(request.status, Status::error("upstream_reset"));
    assert_eq!(first.status, Status::error("connect"));
    // The pause before the second attempt belongs to neither.
    assert!(clock.at(pause) >= first.end_time && clock.at(pause) <= second.start_time);
    let host = first
        .attributes
        .iter()
        .find(|pair| pair.key.as_str() == "server.address");
    assert_eq!(host.unwrap().value.as_str(), "::1");
}

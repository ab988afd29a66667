use std::{sync::Arc, thread, time::Duration};

use super::*;

fn secs(s: u64) -> Nanos {
    Nanos::from_duration(Duration::from_secs(s))
}

#[test]
fn lag_is_arrived_minus_completed_whatever_drops_the_guard() {
    let ledger = Arc::new(Ledger::new(1, Wake::default()));
    let first = Ledger::arrive(ledger.clone(), Nanos::now());
    let second = Ledger::arrive(ledger.clone(), Nanos::now());
    assert_eq!(ledger.in_flight(), 2);
    drop(first);
    let panicked = thread::spawn(move || {
        let _carried_to_another_thread = second;
        panic!("the request's task dies");
    });
    assert!(panicked.join().is_err());
    let reading = ledger.read();
    assert_eq!(
        (reading.arrived, reading.completed, reading.in_flight()),
        (2, 2, 0)
    );
}

#[test]
fn integral_is_the_exact_area_under_in_flight() {
    let ledger = Ledger::new(1, Wake::default());
    let start = ledger.read_with(|| secs(10));
    ledger.count_in(secs(10)); // 1 in flight for 2 s
    ledger.count_in(secs(12)); // 2 for 3 s
    ledger.count_out(secs(15)); // 1 for 5 s
    let end = ledger.read_with(|| secs(20));
    assert_eq!(
        end.integral().wrapping_sub(start.integral()),
        (2 + 6 + 5) * 1_000_000_000
    );
    assert!((end.mean_in_flight(&start) - 1.3).abs() < 1e-9);
    assert!((end.arrival_rate(&start) - 0.2).abs() < 1e-9);
}

#[test]
fn counters_may_wrap() {
    let before = Reading {
        at: secs(1),
        arrived: u64::MAX,
        completed: u64::MAX - 2,
        ..Reading::default()
    };
    let after = Reading {
        at: secs(2),
        arrived: 3,
        completed: 1,
        ..before
    };
    assert_eq!(before.in_flight(), 2);
    assert_eq!(after.in_flight(), 2);
    assert!((after.arrival_rate(&before) - 4.0).abs() < 1e-9);
}

#[test]
fn held_is_counted_and_integrated_beside_in_flight() {
    let ledger = Ledger::new(1, Wake::default());
    let wait = Ledger::hold(&ledger);
    assert_eq!(ledger.read().held, 1);
    drop(wait);
    assert_eq!(ledger.read().held, 0);

    let ledger = Ledger::new(1, Wake::default());
    let start = ledger.read_with(|| secs(10));
    ledger.hold_at(secs(10)); // 1 waits for 2 s
    ledger.hold_at(secs(12)); // 2 for 3 s
    ledger.release_at(secs(15)); // 1 for 5 s
    let end = ledger.read_with(|| secs(20));
    assert!((end.mean_held(&start) - 1.3).abs() < 1e-9);
    assert_eq!((end.held, end.in_flight()), (1, 0));
}

#[test]
fn a_request_whose_body_is_awaited_is_in_flight_and_no_demand() {
    let ledger = Ledger::new(1, Wake::default());
    let request = Ledger::arrive_unready(&ledger, secs(1));
    let reading = ledger.read();
    assert_eq!((reading.in_flight(), reading.receiving), (1, 1));
    assert_eq!(reading.demand().in_flight(), 0);
    // The request does not reach the level until its body is there.
    assert!(!ledger.arm(1));
    assert_eq!(ledger.take_crossing(), None);
    let span = SpanRef { trace: 1, span: 2 };
    request.ready(secs(2), || Some(span));
    let crossing = Crossing {
        at: secs(2),
        span: Some(span),
    };
    assert_eq!(ledger.take_crossing(), Some(crossing));
    let later = ledger.read();
    assert_eq!((later.receiving, later.demand().in_flight()), (0, 1));
    assert_eq!(later.demand().arrived_since(&reading.demand()), 1);
    // A request that ends before its body has come wakes nobody.
    let gone = Ledger::arrive_unready(&ledger, secs(3));
    assert!(!ledger.arm(2));
    drop(request);
    gone.leave_unready_at(secs(4));
    assert_eq!(ledger.take_crossing(), None);
    let end = ledger.read();
    assert_eq!((end.in_flight(), end.receiving), (0, 0));
    assert_eq!(
        end.demand().in_flight_integral,
        end.in_flight_integral.wrapping_sub(end.receiving_integral)
    );
}

#[test]
fn every_worker_that_may_be_configured_writes_a_shard_of_its_own() {
    const WORKERS: usize = if cfg!(miri) { 70 } else { 200 };
    let ledger = Arc::new(Ledger::new(1024, Wake::default()));
    let all = Arc::new(std::sync::Barrier::new(WORKERS));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (ledger, all) = (ledger.clone(), all.clone());
            thread::spawn(move || {
                ledger.count_in(secs(1));
                // A thread that ends gives its number back.
                all.wait();
            })
        })
        .collect();
    workers.into_iter().for_each(|w| w.join().unwrap());
    let arrivals = |shard: &Shard| shard.cut().unwrap().inside.entered;
    let own = ledger.shards.iter().filter(|shard| arrivals(shard) == 1);
    assert_eq!(own.count(), WORKERS);
}

#[test]
fn reading_is_a_consistent_cut_while_many_threads_write() {
    const EACH: u64 = if cfg!(miri) { 50 } else { 20_000 };
    // Two workers with shards of their own, two threads that share the last.
    let ledger = Arc::new(Ledger::new(2, Wake::default()));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let ledger = ledger.clone();
            thread::spawn(move || {
                for _ in 0..EACH {
                    drop(Ledger::arrive(&*ledger, Nanos::now()));
                }
            })
        })
        .collect();
    let start = ledger.read();
    let mut last = start;
    while writers.iter().any(|w| !w.is_finished()) {
        let reading = ledger.read();
        assert!(reading.in_flight() <= 4, "{reading:?}");
        assert!(
            reading.completed >= last.completed,
            "{reading:?} after {last:?}"
        );
        last = reading;
    }
    writers.into_iter().for_each(|w| w.join().unwrap());
    let end = ledger.read();
    assert_eq!((end.arrived, end.completed), (4 * EACH, 4 * EACH));
    let mean = end.mean_in_flight(&start);
    assert!((0.0..=4.0).contains(&mean), "mean in-flight {mean}");
}

#[test]
fn crossing_rings_once_and_is_never_missed() {
    for workers in [1, 2, 7] {
        let ledger = Ledger::new(workers, Wake::default());
        let mut level_seen = None;
        assert!(!ledger.arm(10));
        for n in 1..=10 {
            ledger.count_in(secs(n));
            // As the scaler does: read the exact lag and arm again.
            if ledger.take_crossing().is_some() && ledger.arm(10) {
                level_seen = Some(n);
            }
        }
        assert_eq!(level_seen, Some(10), "with {workers} workers");
        // Not armed, so the scaler is not woken again.
        ledger.count_in(secs(11));
        assert_eq!(ledger.take_crossing(), None);
    }
}

#[test]
fn a_crossing_knows_the_span_of_the_request_that_was_the_first_to_reach_the_level() {
    let ledger = Ledger::new(1, Wake::default());
    let arrive = |seconds, trace| {
        let span = SpanRef { trace, span: 7 };
        let traced = (trace != 0).then_some(span);
        Ledger::arrive_traced(&ledger, secs(seconds), || traced)
    };
    let taken = || {
        ledger
            .take_crossing()
            .map(|own| (own.at, own.span.map(|s| s.trace)))
    };
    assert!(!ledger.arm(1));
    let first = arrive(1, 5);
    // The level has been reached already, so this arrival's span is not asked for.
    let second = arrive(2, 6);
    assert_eq!(taken(), Some((secs(1), Some(5))));
    drop((first, second));
    assert!(!ledger.arm(1));
    let untraced = arrive(3, 0);
    assert_eq!(taken(), Some((secs(3), None)));
    drop(untraced);
    // A crossing after a reading is left for the next reading.
    assert!(!ledger.arm(1));
    let reading = ledger.read_with(|| secs(4));
    let later = arrive(5, 8);
    assert_eq!(ledger.take_crossing_of(&reading), None);
    let reading = ledger.read_with(|| secs(5));
    let found = ledger.take_crossing_of(&reading).map(|own| own.at);
    assert_eq!((found, taken()), (Some(secs(5)), None));
    drop(later);
    assert_eq!(
        SpanRef { trace: 10, span: 1 }.to_string(),
        format!("{:0>32}", "a")
    );
}

#[test]
fn a_crossing_never_has_the_span_of_another_one() {
    const EACH: u64 = if cfg!(miri) { 50 } else { 20_000 };
    let ledger = Arc::new(Ledger::new(4, Wake::default()));
    let cross = |first: u64| {
        let ledger = ledger.clone();
        // Every third one is not traced.
        let span = |n: u64| {
            (!n.is_multiple_of(3)).then_some(SpanRef {
                trace: n.into(),
                span: 1,
            })
        };
        thread::spawn(move || {
            let own = (first..first + EACH).map(|n| n + 1);
            own.for_each(|n| ledger.ring(Nanos(n), span(n)));
        })
    };
    let threads: Vec<_> = (0..4).map(|n| cross(n * EACH)).collect();
    let mut taken = 0;
    while !threads.iter().all(|thread| thread.is_finished()) {
        let Some(Crossing { at, span }) = ledger.take_crossing() else {
            continue;
        };
        taken += 1;
        let of = (!at.0.is_multiple_of(3)).then_some(u128::from(at.0));
        assert_eq!(span.map(|span| span.trace), of, "{at:?}");
    }
    threads.into_iter().for_each(|t| t.join().unwrap());
    taken += u32::from(ledger.take_crossing().is_some());
    assert!(taken > 0);
}

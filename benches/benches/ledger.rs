//! The cost of the ledger: one arrival and one completion, compared with two shared atomics and
//! with a mutex, on one core and on two.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]

use std::{
    hint::black_box,
    sync::{
        Barrier, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use tailback_scaler::{
    clock::Nanos,
    ledger::{Ledger, Wake},
};

/// The time of `count` calls of `once` on each of `threads` concurrent threads.
fn on(threads: usize, count: u64, once: impl Fn() + Sync) -> Duration {
    let barrier = Barrier::new(threads);
    let longest = Mutex::new(Duration::ZERO);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                barrier.wait();
                let start = Instant::now();
                for _ in 0..count {
                    once();
                }
                let took = start.elapsed();
                if let Ok(mut longest) = longest.lock() {
                    *longest = took.max(*longest);
                }
            });
        }
    });
    longest.into_inner().unwrap_or_default()
}

fn ledger(criterion: &mut Criterion) {
    let (arrived, completed) = (AtomicU64::new(0), AtomicU64::new(0));
    let pair = || {
        arrived.fetch_add(1, Ordering::Relaxed);
        completed.fetch_add(1, Ordering::Relaxed);
    };
    let counts = Mutex::new((0u64, 0u64));
    let mutex = || {
        if let Ok(mut counts) = counts.lock() {
            counts.0 += 1;
        }
        if let Ok(mut counts) = counts.lock() {
            counts.1 += 1;
        }
    };
    let ledger = Ledger::new(4, Wake::default());
    let counting = || {
        ledger.count_in(black_box(Nanos(1)));
        ledger.count_out(black_box(Nanos(2)));
    };
    let guard = || drop(black_box(Ledger::arrive(&ledger, Nanos::now())));
    let clock = || {
        black_box(Nanos::now());
    };
    for threads in [1, 2] {
        let mut group = criterion.benchmark_group(format!("arrive and complete, cores={threads}"));
        group.bench_function("ledger", |b| b.iter_custom(|n| on(threads, n, counting)));
        group.bench_function("ledger, guard and clock", |b| {
            b.iter_custom(|n| on(threads, n, guard))
        });
        group.bench_function("the clock alone", |b| {
            b.iter_custom(|n| on(threads, n, clock))
        });
        group.bench_function("shared pair of atomics", |b| {
            b.iter_custom(|n| on(threads, n, pair))
        });
        group.bench_function("mutex", |b| b.iter_custom(|n| on(threads, n, mutex)));
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = ledger
}
criterion_main!(benches);

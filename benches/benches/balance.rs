//! The cost of choosing a replica, by strategy and number of replicas: one permit is taken and
//! released.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tailback::admission::balance::{Affinity, Balancer};
use tailback_config::LoadBalancing;
use tailback_scaler::{clock::Nanos, replica::Replica};

fn balance(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("balance");
    for replicas in [2, 8, 64] {
        let all: Vec<_> = (0..replicas)
            .map(|i| Arc::new(Replica::new(format!("m-{i}"), "h:1", Some(64))))
            .collect();
        for strategy in LoadBalancing::all() {
            let balancer = Balancer::new(&strategy, None);
            let id = BenchmarkId::new(strategy.as_str(), replicas);
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    if let Some(taken) = balancer.take(black_box(&all), Affinity::None, Nanos(1)) {
                        all[taken.position].release();
                    }
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, balance);
criterion_main!(benches);

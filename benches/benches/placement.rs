//! The cost of a plan: 1,000 models on 100 replicas of a server.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use tailback_scaler::{
    clock::Nanos,
    placement::{Bin, BinPool, Fleet, ModelNeed, Placed, PlacedState, plan},
};

const NOW: Nanos = Nanos(10_000_000_000_000);

/// 100 bins of 8, and 1,000 models of 1; nothing is placed yet.
fn empty() -> Fleet {
    let bins = (0..100).map(|index| Bin {
        name: format!("server-{index}").into(),
        memory: Some(8),
        leaving: false,
        given_up: false,
        ordinal: None,
    });
    let models = (0..1000).map(|index| ModelNeed {
        name: format!("model-{index}").into(),
        pools: vec![0],
        memory: 1,
        bins: 1,
        wanted: 1,
        min: 1,
        max: 1,
        pinned: false,
        admitted: true,
        held: 0,
        held_since: None,
        hold: Duration::from_secs(60),
        last_used: Nanos(index),
        out_since: None,
        load_time: Some(Duration::from_secs(1)),
        not_before: None,
    });
    Fleet {
        pools: vec![BinPool {
            name: "server".into(),
            bins: bins.collect(),
            placed: Vec::new(),
            overcommit: None,
            one_per_bin: true,
            scaling: None,
        }],
        models: models.collect(),
    }
}

/// The same with this many models placed, each with so many requests in flight.
fn placed(count: usize, in_flight: u32) -> Fleet {
    let mut fleet = empty();
    fleet.pools[0].placed = (0..count)
        .map(|index| Placed {
            model: Arc::clone(&fleet.models[index].name),
            bins: vec![index % 100],
            memory: 1,
            state: PlacedState::Loaded,
            since: Nanos(0),
            in_flight,
        })
        .collect();
    fleet
}

fn placement(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("placement");
    let mut wide = placed(1000, 0);
    wide.pools[0]
        .bins
        .iter_mut()
        .for_each(|bin| bin.memory = Some(16));
    let mut asked = placed(800, 0);
    for model in &mut asked.models[800..] {
        (model.held, model.held_since) = (1, Some(NOW));
    }
    let mut busy = placed(800, 1);
    busy.models[800..].clone_from_slice(&asked.models[800..]);
    for (name, fleet) in [
        ("nothing to do", wide),
        ("nothing placed yet", empty()),
        ("200 evictions", asked),
        ("200 turns", busy),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| plan(black_box(&fleet), NOW));
        });
    }
    group.finish();
}

criterion_group!(benches, placement);
criterion_main!(benches);

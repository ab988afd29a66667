//! The cost of prefix affinity for one request: to find the prompt in a body, to hash its blocks,
//! to look for a replica that has seen them, and to remember the one that was chosen.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tailback::{
    admission::balance::{Affinity, Balancer, chain},
    protocol::prompt,
};
use tailback_config::{LoadBalancing, PrefixAffinity};
use tailback_scaler::{clock::Nanos, replica::Replica};

const KIB: usize = 1024;

/// A chat of about this size: messages of 600 bytes, each with some line breaks and quotes.
fn chat(bytes: usize) -> String {
    let mut body = r#"{"model":"m","temperature":0.2,"messages":["#.to_owned();
    let words = "The quick brown fox jumps over the lazy dog, and looks back.\\n".repeat(9);
    while body.len() < bytes {
        body += &format!(
            r#"{{"role":"user","content":"{words} \"{}\""}},"#,
            body.len()
        );
    }
    body.pop();
    body + r#"],"stream":true}"#
}

fn prefix(criterion: &mut Criterion) {
    let settings = PrefixAffinity::default();
    let all: Vec<_> = (0..8)
        .map(|i| Arc::new(Replica::new(format!("m-{i}"), "h:1", Some(64))))
        .collect();
    let mut group = criterion.benchmark_group("prefix");
    for size in [2 * KIB, 8 * KIB, 32 * KIB] {
        let body = chat(size);
        let parts = prompt::parts(body.as_bytes());
        let blocks = chain(parts.iter().copied(), settings.block_bytes);
        let balancer = Balancer::new(&LoadBalancing::Prefix(settings.clone()), None);
        let choose = |blocks: &[u64], now| {
            if let Some(taken) = balancer.take(&all, Affinity::Prefix(blocks), Nanos(now)) {
                all[taken.position].release();
            }
        };
        group.bench_function(BenchmarkId::new("find", size), |bencher| {
            bencher.iter(|| prompt::parts(black_box(body.as_bytes())).len());
        });
        group.bench_function(BenchmarkId::new("hash", size), |bencher| {
            bencher.iter(|| chain(black_box(&parts).iter().copied(), settings.block_bytes));
        });
        group.bench_function(BenchmarkId::new("choose", size), |bencher| {
            bencher.iter(|| choose(black_box(&blocks), 1));
        });
        group.bench_function(BenchmarkId::new("all", size), |bencher| {
            bencher.iter(|| {
                let parts = prompt::parts(black_box(body.as_bytes()));
                choose(&chain(parts, settings.block_bytes), 1);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, prefix);
criterion_main!(benches);

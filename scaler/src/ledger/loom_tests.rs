//! Tests every interleaving and reordering that the memory model allows, with loom:
//! `RUSTFLAGS="--cfg tailback_loom" cargo test -p tailback-scaler --release loom_`.

use loom::{sync::Arc, thread};

use crossbeam_utils::CachePadded;

use super::{
    arm,
    shard::{Shard, ShardCut},
};
use crate::clock::Nanos;

/// The same algorithm as `Ledger::try_cut`, over bare shards.
fn try_cut(shards: &[Shard; 2]) -> Option<ShardCut> {
    let mut sum = ShardCut::default();
    let mut version = 0u64;
    for shard in shards {
        let cut = shard.cut()?;
        version += cut.version();
        sum += cut;
    }
    let again: u64 = shards.iter().map(Shard::version).sum();
    (again == version).then_some(sum)
}

#[test]
fn loom_cut_is_consistent_and_never_negative_across_workers() {
    loom::model(|| {
        let shards = Arc::new([Shard::default(), Shard::default()]);
        let writers = shards.clone();
        // Arrives on one worker at t=3, completes on another at t=5.
        let request = thread::spawn(move || {
            writers[0].arrive(Nanos(3));
            let second = writers.clone();
            thread::spawn(move || second[1].complete(Nanos(5)))
                .join()
                .unwrap();
        });
        if let Some(cut) = try_cut(&shards) {
            let lag = cut.inside.entered.wrapping_sub(cut.inside.left);
            let expected = match (cut.inside.entered, cut.inside.left) {
                (0, 0) => 0,
                (1, 0) => 3u64.wrapping_neg(),
                (1, 1) => 2,
                torn => panic!("a cut that was never true: {torn:?}"),
            };
            assert!(lag <= 1);
            assert_eq!(cut.inside.integral, expected);
        }
        request.join().unwrap();
        let end = try_cut(&shards).unwrap();
        assert_eq!(
            (end.inside.entered, end.inside.left, end.inside.integral),
            (1, 1, 2)
        );
    });
}

#[test]
fn loom_single_shard_triple_is_never_torn() {
    loom::model(|| {
        let shard = Arc::new(Shard::default());
        let writer = shard.clone();
        let worker = thread::spawn(move || {
            writer.arrive(Nanos(10));
            writer.complete(Nanos(17));
        });
        if let Some(cut) = shard.cut() {
            let in_flight_integral = match (cut.inside.entered, cut.inside.left) {
                (0, 0) => 0,
                (1, 0) => 10u64.wrapping_neg(),
                (1, 1) => 7,
                torn => panic!("torn: {torn:?}"),
            };
            assert_eq!(cut.inside.integral, in_flight_integral);
        }
        worker.join().unwrap();
    });
}

#[test]
fn loom_cut_never_holds_more_than_are_inside() {
    loom::model(|| {
        let shards = Arc::new([Shard::default(), Shard::default()]);
        let writers = shards.clone();
        let request = thread::spawn(move || {
            writers[0].arrive(Nanos(1));
            writers[0].hold(Nanos(2));
            writers[0].release(Nanos(4));
        });
        if let Some(cut) = try_cut(&shards) {
            assert!(cut.held.inside() <= cut.inside.inside());
            let expected = match (cut.held.entered, cut.held.left) {
                (0, 0) => 0,
                (1, 0) => 2u64.wrapping_neg(),
                (1, 1) => 2,
                torn => panic!("a cut that was never true: {torn:?}"),
            };
            assert_eq!(cut.held.integral, expected);
        }
        request.join().unwrap();
    });
}

#[test]
fn loom_crossing_is_seen_by_the_arrival_or_by_whoever_arms() {
    loom::model(|| {
        let shard = Arc::new(Shard::default());
        let writer = shard.clone();
        // The level is 1, so the only arrival crosses it.
        let worker = thread::spawn(move || writer.arrive(Nanos(1)));
        shard.arm(1);
        let seen_by_scaler = shard.version() >= 1;
        let rung_by_worker = worker.join().unwrap();
        assert!(
            seen_by_scaler || rung_by_worker,
            "both sides missed the crossing"
        );
    });
}

#[test]
fn loom_a_request_whose_body_comes_late_wakes_the_scaler_or_is_seen_by_it() {
    loom::model(|| {
        let shard = Arc::new(Shard::default());
        shard.arrive_unready(Nanos(1));
        let writer = shard.clone();
        let worker = thread::spawn(move || writer.ready(Nanos(2)));
        // As `Ledger::arm` does.
        shard.arm(1);
        let cut = loop {
            if let Some(cut) = shard.cut() {
                break cut;
            }
            thread::yield_now();
        };
        let seen = cut.inside.inside() - cut.receiving.inside();
        let woken = worker.join().unwrap();
        assert!(woken || seen == 1, "neither woken nor seen");
    });
}

#[test]
fn loom_no_arrival_while_marks_are_set_hides_that_the_level_is_reached() {
    loom::model(|| {
        let shards = Arc::new([
            CachePadded::new(Shard::default()),
            CachePadded::new(Shard::default()),
        ]);
        // The level is 3. Two requests arrive by one shard, the first perhaps between the setting
        // of the two marks, and one by the other.
        let writers = shards.clone();
        let worker = thread::spawn(move || {
            let first = writers[1].arrive(Nanos(1));
            let second = writers[1].arrive(Nanos(2));
            first || second
        });
        let is_armed = arm(&*shards, 3);
        let is_woken = worker.join().unwrap() | shards[0].arrive(Nanos(3));
        assert!(!is_armed || is_woken, "the level was reached unseen");
    });
}

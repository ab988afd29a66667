//! Pools, bins and models to begin with.

use std::time::Duration;

use super::super::{Bin, BinPool, ModelNeed, ServerScaling};
use crate::clock::Nanos;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A pool with one bin for each of these capacities, without bounds of over-commit.
pub(super) fn pool(name: &str, memory: &[u64]) -> BinPool {
    let bins = memory
        .iter()
        .enumerate()
        .map(|(index, memory)| bin(index, *memory));
    BinPool {
        name: name.into(),
        bins: bins.collect(),
        placed: Vec::new(),
        overcommit: None,
        one_per_bin: true,
        scaling: None,
    }
}

pub(super) fn bin(index: usize, memory: u64) -> Bin {
    Bin {
        name: format!("bin-{index}").into(),
        memory: Some(memory),
        leaving: false,
        given_up: false,
        ordinal: None,
    }
}

/// A model that wants one replica, in the first pool.
pub(super) fn model(name: &str, memory: u64) -> ModelNeed {
    ModelNeed {
        name: name.into(),
        pools: vec![0],
        memory,
        bins: 1,
        wanted: 1,
        min: 1,
        max: 1,
        pinned: false,
        admitted: false,
        held: 0,
        held_since: None,
        hold: 60 * SECOND,
        last_used: Nanos(0),
        out_since: None,
        load_time: None,
        not_before: None,
    }
}

pub(super) fn pinned(name: &str, memory: u64) -> ModelNeed {
    ModelNeed {
        pinned: true,
        ..model(name, memory)
    }
}

/// Numbers the bins: the last one is removed first.
pub(super) fn numbered(mut pool: BinPool) -> BinPool {
    for (bin, ordinal) in pool.bins.iter_mut().zip(0..) {
        bin.ordinal = Some(ordinal);
    }
    pool
}

pub(super) fn scaling(asked: u32, max: u32, bin_memory: u64) -> ServerScaling {
    ServerScaling {
        min: 1,
        max,
        asked,
        bin_memory: Some(bin_memory),
        packing: false,
        unchanged: Duration::ZERO,
        stability: 60 * SECOND,
    }
}

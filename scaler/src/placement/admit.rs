//! Which models are promised room in a pool: as many as fit into its memory plus the over-commit.

use super::{
    draft::{Draft, UNBOUNDED},
    fleet::{BinPool, Fleet, ModelNeed},
    plan::Unplaced,
};

/// Which models may be placed, and in which pool each of them counts.
pub(super) struct Admission {
    pub(super) admitted: Vec<bool>,
    /// The pool that a model counts in, by model. `None`: it fits into none of its pools.
    pub(super) home: Vec<Option<usize>>,
}

/// Admits models until everything that may be promised is promised. Their order: models that were
/// admitted before, models that are placed already, models with held requests, and then the order
/// of the list.
pub(super) fn admit(draft: &mut Draft<'_>) -> Admission {
    let fleet = draft.fleet;
    let mut admission = Admission {
        admitted: fleet.models.iter().map(|model| model.admitted).collect(),
        home: vec![None; fleet.models.len()],
    };
    let mut promised = vec![0_u64; fleet.pools.len()];
    let limits: Vec<_> = fleet.pools.iter().map(limit).collect();
    let shared = shared_pools(fleet);
    let mut order: Vec<_> = (0..fleet.models.len()).collect();
    order.sort_by_key(|&index| {
        let model = &fleet.models[index];
        (
            !model.admitted,
            draft.of_model[index].is_empty(),
            model.held == 0,
        )
    });
    for index in order {
        let model = &fleet.models[index];
        let needs = promise(model);
        let pools = draft.pools_of(index);
        let possible = || {
            pools
                .iter()
                .copied()
                .filter(|&pool| takes(&fleet.pools[pool], model))
        };
        let room = |&pool: &usize| {
            limits[pool].is_none_or(|limit| promised[pool].saturating_add(needs) <= limit)
        };
        // A model that may be in several pools does not always count in the same one. So all pools
        // that share models are also bounded together: they promise no more than they all have.
        let together = |pool: usize| {
            let all = || {
                (0..fleet.pools.len())
                    .filter(|&other| other == pool || shared[pool] && shared[other])
            };
            let limits = all().map(|pool| limits[pool].map(u128::from));
            let promised: u128 = all().map(|pool| u128::from(promised[pool])).sum();
            let needs = u128::from(needs);
            limits
                .sum::<Option<u128>>()
                .is_none_or(|limit| promised + needs <= limit)
        };
        let home = possible().find(|pool| room(pool) && (model.admitted || together(*pool)));
        let fallback = possible().next().filter(|_| model.admitted);
        if let Some(home) = home.or(fallback) {
            admission.home[index] = Some(home);
            promised[home] = promised[home].saturating_add(needs);
            if !model.admitted {
                admission.admitted[index] = true;
                draft.plan.admit.push(model.name.clone());
            }
            continue;
        }
        admission.admitted[index] = false;
        if draft.staying[index] >= model.wanted {
            continue;
        }
        let reason = match (possible().next(), pools.first()) {
            (_, None) => Unplaced::NoPool,
            (Some(pool), _) if limits[pool] == Some(0) && fleet.pools[pool].bins.is_empty() => {
                Unplaced::NoBin {
                    pool: fleet.pools[pool].name.clone(),
                }
            }
            (Some(pool), _) => Unplaced::HeldBack {
                needs,
                pool: fleet.pools[pool].name.clone(),
                promised: promised[pool],
                limit: limits[pool].unwrap_or(u64::MAX),
                overcommit: fleet.pools[pool].overcommit.unwrap_or_default(),
            },
            (None, Some(_)) => too_large(fleet.pools.as_slice(), &pools, model),
        };
        draft.plan.unplaced.insert(model.name.clone(), reason);
    }
    admission
}

/// For each pool, whether a model may be in it and in another one as well.
fn shared_pools(fleet: &Fleet) -> Vec<bool> {
    let mut shared = vec![false; fleet.pools.len()];
    for model in fleet.models.iter().filter(|model| model.pools.len() > 1) {
        for &pool in &model.pools {
            if let Some(shared) = shared.get_mut(pool) {
                *shared = true;
            }
        }
    }
    shared
}

/// The memory that a model is promised, in bytes.
fn promise(model: &ModelNeed) -> u64 {
    let replicas = u64::from(model.min.max(1)) * u64::from(model.bins.max(1));
    model.memory.saturating_mul(replicas)
}

/// How much memory a pool may promise, in bytes. `None`: any amount.
fn limit(pool: &BinPool) -> Option<u64> {
    let overcommit = u128::from(pool.overcommit?);
    let staying = pool.bins.iter().filter(|bin| !bin.leaving);
    let mut memory: u128 = 0;
    let mut bins = 0;
    for bin in staying {
        memory += u128::from(bin.memory?);
        bins += 1;
    }
    if let Some(scaling) = &pool.scaling {
        let to_come = scaling.max.saturating_sub(bins);
        if to_come > 0 {
            let each = bin_to_come(pool);
            if each >= UNBOUNDED {
                return None;
            }
            memory += u128::from(each) * u128::from(to_come);
        }
    }
    u64::try_from(memory * (100 + overcommit) / 100).ok()
}

/// The memory of a bin that does not exist yet, in bytes: as configured, or else that of the
/// pool's present bins.
pub(super) fn bin_to_come(pool: &BinPool) -> u64 {
    let said = pool.scaling.as_ref().and_then(|scaling| scaling.bin_memory);
    let there = || {
        pool.bins
            .iter()
            .map(|bin| bin.memory.unwrap_or(UNBOUNDED))
            .max()
    };
    said.or_else(there).unwrap_or(UNBOUNDED).min(UNBOUNDED)
}

/// Whether a model fits into the pool at all if the pool is empty and as large as it may get. The
/// size of bins is not known while a pool has none; then any model fits.
fn takes(pool: &BinPool, model: &ModelNeed) -> bool {
    if pool.bins.is_empty() && pool.scaling.is_none() {
        return true;
    }
    let fitting = pool
        .bins
        .iter()
        .filter(|bin| bin.memory.is_none_or(|m| m >= model.memory));
    let mut fitting = fitting.count();
    if bin_to_come(pool) >= model.memory {
        fitting += to_come(pool);
    }
    let most = pool.scaling.as_ref().map_or(usize::MAX, |s| s.max as usize);
    fitting.min(most) >= model.bins.max(1) as usize
}

/// How many more bins a pool may get.
fn to_come(pool: &BinPool) -> usize {
    let max = pool
        .scaling
        .as_ref()
        .map_or(0, |scaling| scaling.max as usize);
    max.saturating_sub(pool.bins.len())
}

/// The reason for a model that is larger than any bin, with the pool that has the largest bin.
fn too_large(all: &[BinPool], pools: &[usize], model: &ModelNeed) -> Unplaced {
    let largest = |pool: &BinPool| {
        let there = pool
            .bins
            .iter()
            .map(|bin| bin.memory.unwrap_or(UNBOUNDED))
            .max();
        let coming = (to_come(pool) > 0).then(|| bin_to_come(pool));
        there.max(coming).unwrap_or_default()
    };
    let best = pools
        .iter()
        .map(|&pool| &all[pool])
        .max_by_key(|pool| largest(pool));
    match best {
        None => Unplaced::NoPool,
        Some(pool) => Unplaced::TooLarge {
            needs: model.memory,
            bins: model.bins.max(1),
            pool: pool.name.clone(),
            largest: largest(pool),
            of: pool.bins.len() + to_come(pool),
        },
    }
}

//! Fleets that make no sense: they are planned for all the same.

use std::time::Duration;

use proptest::{collection::vec, option, prelude::*};

use super::{
    super::{Bin, BinPool, Fleet, ModelNeed, Placed, PlacedState, ServerScaling, plan},
    fixtures::model,
};
use crate::clock::Nanos;

/// Mostly small, sometimes as large as can be.
fn bytes() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0_u64..20, 1 => Just(u64::MAX), 1 => Just(u64::MAX / 3)]
}

fn count() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0_u32..4, 1 => Just(u32::MAX)]
}

fn placed() -> impl Strategy<Value = Placed> {
    let state = prop_oneof![
        Just(PlacedState::Loading),
        Just(PlacedState::Loaded),
        Just(PlacedState::Draining),
        Just(PlacedState::Unloading),
    ];
    (
        0_usize..6,
        vec(0_usize..5, 0..3),
        bytes(),
        state,
        count(),
        bytes(),
    )
        .prop_map(|(name, bins, memory, state, in_flight, since)| Placed {
            model: format!("m-{name}").into(),
            bins,
            memory,
            state,
            since: Nanos(since),
            in_flight,
        })
}

fn pools() -> impl Strategy<Value = Vec<BinPool>> {
    let scaling = (
        count(),
        count(),
        count(),
        option::of(bytes()),
        any::<bool>(),
    )
        .prop_map(|(min, max, asked, bin_memory, packing)| ServerScaling {
            min,
            max,
            asked,
            bin_memory,
            packing,
            unchanged: Duration::from_secs(60),
            stability: Duration::from_secs(60),
        });
    let bins = vec(
        (option::of(bytes()), any::<bool>(), option::of(count())),
        0..4,
    );
    let pool = (
        bins,
        vec(placed(), 0..8),
        option::of(count()),
        any::<bool>(),
        option::of(scaling),
    );
    let pool = pool.prop_map(|(bins, placed, overcommit, one_per_bin, scaling)| BinPool {
        name: "server".into(),
        bins: bins
            .into_iter()
            .map(|(memory, leaving, ordinal)| Bin {
                name: "bin".into(),
                memory,
                leaving,
                given_up: leaving && memory.is_none(),
                ordinal,
            })
            .collect(),
        placed,
        overcommit,
        one_per_bin,
        scaling,
    });
    vec(pool, 0..3)
}

fn models() -> impl Strategy<Value = Vec<ModelNeed>> {
    let model = (
        (0_usize..5, vec(0_usize..4, 0..4), bytes()),
        (count(), count(), count(), count()),
        (any::<bool>(), any::<bool>(), option::of(bytes())),
        (bytes(), bytes(), option::of(bytes()), option::of(bytes())),
    )
        .prop_map(|((name, pools, memory), counts, flags, times)| ModelNeed {
            pools,
            bins: counts.0,
            wanted: counts.1,
            min: counts.2,
            max: counts.3,
            held: counts.3,
            pinned: flags.0,
            admitted: flags.1,
            held_since: flags.2.map(Nanos),
            hold: Duration::from_nanos(times.0),
            last_used: Nanos(times.1),
            load_time: times.2.map(Duration::from_secs),
            not_before: times.3.map(Nanos),
            ..model(&format!("m-{name}"), memory)
        });
    vec(model, 0..5)
}

proptest! {
    #[test]
    fn no_fleet_makes_a_plan_panic_or_take_for_ever(
        pools in pools(),
        models in models(),
        now in bytes(),
    ) {
        let fleet = Fleet { pools, models };
        let planned = plan(&fleet, Nanos(now));
        let mut reasons = planned.unplaced.values();
        prop_assert!(reasons.all(|reason| !reason.to_string().is_empty()));
    }
}

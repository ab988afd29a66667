//! What every plan and every fleet must keep.

use std::{collections::BTreeMap, time::Duration};

use super::super::{Fleet, PlacedState, Plan, Why, plan};
use crate::clock::Nanos;

/// The same plan twice; nothing evicted that is in flight or within its residency; a reason for
/// each replica that is missing.
pub(super) fn plan_is_allowed(fleet: &Fleet, planned: &Plan, now: Nanos) {
    assert_eq!(*planned, plan(fleet, now), "the same twice");
    if let Some(at) = planned.again_at {
        assert!(at > now);
    }
    for drain in &planned.drain {
        let placed = &fleet.pools[drain.position.pool].placed[drain.placed];
        let serves = matches!(placed.state, PlacedState::Loading | PlacedState::Loaded);
        assert!(serves, "it goes already: {drain:?}");
        let mut models = fleet.models.iter();
        let need = models.find(|model| model.name == drain.position.model);
        if let (Some(need), Why::Evicted { .. } | Why::Turn { .. }) = (need, &drain.why) {
            let residency = match need.load_time {
                Some(load) if load > Duration::from_millis(3333) => 3 * load,
                Some(load) if load < Duration::from_millis(100) => Duration::from_secs(1),
                Some(load) if load < Duration::from_secs(1) => 10 * load,
                _ => Duration::from_secs(10),
            };
            let loaded = now.since(placed.since);
            let unused = need.held == 0 && placed.in_flight == 0 && need.last_used < placed.since;
            assert!(loaded >= residency || unused, "within residency: {drain:?}");
            assert!(!need.pinned, "pinned: {drain:?}");
            assert_eq!(placed.state, PlacedState::Loaded);
        }
        if matches!(drain.why, Why::Evicted { .. }) {
            assert_eq!(placed.in_flight, 0, "in flight: {drain:?}");
        }
    }
    for need in &fleet.models {
        let placed = fleet.pools.iter().flat_map(|pool| &pool.placed);
        let serving = placed.filter(|placed| {
            placed.model == need.name
                && matches!(placed.state, PlacedState::Loading | PlacedState::Loaded)
        });
        let drained = planned.drain.iter().map(|drain| &drain.position);
        let drained = drained.filter(|position| position.model == need.name);
        let loaded = planned.load.iter().map(|load| &load.position);
        let new = loaded.chain(&planned.resume);
        let new = new.filter(|position| position.model == need.name);
        let has = serving.count() + new.count() - drained.count();
        if (has as u32) < need.wanted {
            let reason = planned.unplaced.get(&need.name).expect("a reason");
            assert!(!reason.to_string().is_empty());
        }
    }
}

/// No bin has more in it than its memory, or two replicas of a model where it takes one.
pub(super) fn fleet_is_sound(fleet: &Fleet) {
    for pool in &fleet.pools {
        for (index, bin) in pool.bins.iter().enumerate() {
            let here = pool
                .placed
                .iter()
                .filter(|placed| placed.bins.contains(&index));
            let used: u64 = here.clone().map(|placed| placed.memory).sum();
            assert!(
                used <= bin.memory.unwrap_or(u64::MAX),
                "over capacity: {bin:?}"
            );
            let mut models = BTreeMap::new();
            for placed in here {
                *models.entry(&placed.model).or_insert(0) += 1;
            }
            let twice = pool.one_per_bin && models.values().any(|count| *count > 1);
            assert!(!twice, "two of a model in {}", bin.name);
        }
    }
}

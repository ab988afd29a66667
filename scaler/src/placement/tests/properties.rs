//! What holds for all fleets and all demand.

use std::time::Duration;

use proptest::{collection::vec, option, prelude::*, sample::Index};

use super::{
    super::{BinPool, Fleet, ModelNeed, ServerScaling, Unplaced},
    fixtures::{SECOND, model, numbered, pool},
    world::World,
};

fn any_pool() -> impl Strategy<Value = BinPool> {
    let scaling = (0_u32..3, 0_u32..4, any::<bool>(), any::<bool>());
    (
        vec(4_u64..16, 1..4),
        prop_oneof![Just(None), Just(Some(0)), Just(Some(50)), Just(Some(200))],
        any::<bool>(),
        option::of(scaling),
    )
        .prop_map(|(mut memory, overcommit, one_per_bin, scaling)| {
            let bins = memory.len() as u32;
            // The replicas of a server are alike.
            let each = memory[0];
            if scaling.is_some() {
                memory.fill(each);
            }
            let ordered = scaling.is_some_and(|(.., ordered)| ordered);
            let scaling = scaling.map(|(min, more, packing, _)| ServerScaling {
                min: min.min(bins),
                max: bins + more,
                asked: bins,
                bin_memory: Some(each),
                packing,
                unchanged: Duration::ZERO,
                stability: 30 * SECOND,
            });
            let pool = BinPool {
                overcommit,
                one_per_bin: one_per_bin || scaling.is_some(),
                scaling,
                ..pool("server", &memory)
            };
            match ordered {
                true => numbered(pool),
                false => pool,
            }
        })
}

fn any_model() -> impl Strategy<Value = ModelNeed> {
    (
        prop_oneof![Just(vec![0]), Just(vec![0, 1]), Just(vec![1, 0])],
        1_u64..8,
        prop_oneof![4 => Just(1_u32), 1 => Just(2)],
        0_u32..4,
        0_u32..3,
        prop::bool::weighted(0.1),
    )
        .prop_map(|(pools, memory, bins, wanted, min, pinned)| ModelNeed {
            pools,
            bins,
            wanted,
            min,
            pinned,
            ..model("", memory)
        })
}

pub(super) fn any_world() -> impl Strategy<Value = World> {
    let load_times = vec(1_u64..20, 10);
    (vec(any_pool(), 1..3), vec(any_model(), 1..10), load_times).prop_map(
        |(mut pools, mut models, load_times)| {
            for (index, pool) in pools.iter_mut().enumerate() {
                pool.name = format!("server-{index}").into();
            }
            for (index, model) in models.iter_mut().enumerate() {
                model.name = format!("model-{index}").into();
            }
            let mut world = World::new(Fleet { pools, models });
            let times = world.load_times.iter_mut().zip(load_times);
            times.for_each(|(time, seconds)| *time = seconds as u32 * SECOND);
            world
        },
    )
}

/// What people and machines do to a fleet.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Request { model: Index, seconds: u32 },
    Wanted { model: Index, wanted: u32 },
    Leaves { pool: Index, bin: Index },
    Removed,
}

pub(super) fn events() -> impl Strategy<Value = Vec<(u32, Event)>> {
    let event = prop_oneof![
        20 => (any::<Index>(), 0_u32..20).prop_map(|(model, seconds)| Event::Request { model, seconds }),
        4 => (any::<Index>(), 0_u32..4).prop_map(|(model, wanted)| Event::Wanted { model, wanted }),
        1 => any::<(Index, Index)>().prop_map(|(pool, bin)| Event::Leaves { pool, bin }),
        1 => Just(Event::Removed),
    ];
    vec((0_u32..8, event), 0..60)
}

fn do_to(world: &mut World, event: &Event) {
    match event {
        Event::Request { model, seconds } => {
            let model = model.index(world.fleet.models.len());
            world.request(model, *seconds * SECOND);
            let need = &mut world.fleet.models[model];
            need.wanted = need.wanted.max(1);
        }
        Event::Wanted { model, wanted } => {
            let model = model.index(world.fleet.models.len());
            world.fleet.models[model].wanted = *wanted;
        }
        Event::Leaves { pool, bin } => {
            let pool = pool.index(world.fleet.pools.len());
            let bins = &mut world.fleet.pools[pool].bins;
            let bin = bin.index(bins.len());
            bins[bin].leaving = true;
        }
        // Models are numbered; the last one goes.
        Event::Removed if world.fleet.models.len() > 1 => {
            world.remove_last_model();
        }
        Event::Removed => {}
    }
}

/// The events, each followed by its pause.
pub(super) fn live<'a>(world: &mut World, events: impl IntoIterator<Item = &'a (u32, Event)>) {
    for (pause, event) in events {
        do_to(world, event);
        world.run(*pause * SECOND + Duration::from_millis(1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_iters: 30, ..ProptestConfig::default() })]

    /// The world checks each plan: never over capacity, never two in a bin, nothing evicted in
    /// flight or within its residency, a reason for whatever is missing, the same plan twice.
    #[test]
    fn plans_keep_their_rules_under_any_demand(mut world in any_world(), events in events()) {
        live(&mut world, &events);
    }

    #[test]
    fn a_fleet_without_new_demand_comes_to_rest(mut world in any_world(), events in events()) {
        as_is_built(&mut world);
        live(&mut world, &events);
        world.settle();
    }

    #[test]
    fn a_request_gets_an_idle_models_room(mut world in any_world(), asked in any::<Index>()) {
        as_is_built(&mut world);
        for model in &mut world.fleet.models {
            model.pinned = false;
        }
        world.settle();
        let models = world.fleet.models.iter().enumerate();
        let admitted: Vec<_> = models.filter(|(_, model)| model.admitted).collect();
        if admitted.is_empty() {
            return Ok(());
        }
        let (asked, _) = admitted[asked.index(admitted.len())];
        world.fleet.models[asked].wanted = world.fleet.models[asked].wanted.max(1);
        // Servers grow for what is wanted.
        world.settle();
        world.request(asked, SECOND);
        world.run(59 * SECOND);
        prop_assert_eq!(world.served[asked], 1);
    }

    #[test]
    fn without_over_commit_each_model_that_fits_gets_the_room_of_idle_ones(
        mut world in any_world(),
        events in events(),
        asked in any::<Index>(),
    ) {
        as_is_built(&mut world);
        without_bounds(&mut world);
        live(&mut world, events.iter().filter(|(_, event)| !matches!(event, Event::Leaves { .. })));
        world.settle();
        let asked = asked.index(world.fleet.models.len());
        let need = &mut world.fleet.models[asked];
        need.wanted = need.wanted.max(1);
        let fits = fits(&world.fleet, asked);
        // Servers grow for what is wanted.
        world.settle();
        let served = world.served[asked];
        world.request(asked, SECOND);
        let plan = world.step(SECOND);
        let name = &world.fleet.models[asked].name;
        let too_large = matches!(plan.unplaced.get(name), Some(Unplaced::TooLarge { .. }));
        prop_assert_eq!(fits, !too_large, "{:?}", plan.unplaced.get(name));
        world.run(58 * SECOND);
        prop_assert_eq!(world.served[asked] - served, u32::from(fits));
    }

    #[test]
    fn promises_stay_within_over_commit(mut world in any_world(), percent in 0_u32..100) {
        as_is_built(&mut world);
        for pool in &mut world.fleet.pools {
            pool.overcommit = Some(percent);
        }
        world.settle();
        let needs = |model: &ModelNeed| model.memory * u64::from(model.bins * model.min.max(1));
        let admitted = world.fleet.models.iter().filter(|model| model.admitted);
        let promised: u64 = admitted.map(needs).sum();
        let most = world.fleet.pools.iter().map(|pool| {
            let there: u64 = pool.bins.iter().filter_map(|bin| bin.memory).sum();
            let to_come = pool.scaling.as_ref().map_or(0, |scaling| {
                u64::from(scaling.max) * scaling.bin_memory.unwrap_or(0)
            });
            there + to_come
        });
        prop_assert!(promised * 100 <= most.sum::<u64>() * u64::from(100 + percent));
    }

    #[test]
    fn a_bin_that_leaves_is_emptied_without_a_gap(
        memory in vec(1_u64..5, 1..8),
        leaving in 0_usize..3,
    ) {
        // Two of three bins have room for all, whatever the sizes.
        let models = memory.iter().enumerate();
        let models: Vec<_> = models.map(|(i, memory)| model(&format!("m-{i}"), *memory)).collect();
        let count = models.len();
        let mut world = World::new(Fleet { pools: vec![pool("server", &[24, 24, 24])], models });
        world.settle();
        world.fleet.pools[0].bins[leaving].leaving = true;
        for _ in 0..50 {
            world.step(SECOND);
            for model in 0..count {
                prop_assert!(world.loaded(model) >= 1);
            }
        }
        let placed = &world.fleet.pools[0].placed;
        prop_assert!(placed.iter().all(|placed| !placed.bins.contains(&leaving)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Models whose loads fail are asked for all the time, and another one now and then.
    #[test]
    fn loads_that_fail_starve_nobody_and_are_tried_ever_less(
        mut world in any_world(),
        fails in vec(prop::bool::weighted(0.6), 9),
        asked in any::<Index>(),
        at in vec(0_u32..240, 1..4),
    ) {
        as_is_built(&mut world);
        without_bounds(&mut world);
        // Whoever is asked for has time for three loads: its own, and what is being loaded in its way.
        world.load_times.iter_mut().for_each(|time| *time = (*time).min(8 * SECOND));
        let count = world.fleet.models.len();
        let asked = asked.index(count);
        let fails = |model| model != asked && fails[model];
        for model in (0..count).filter(|model| fails(*model)) {
            world.fleet.models[model].wanted = 0;
        }
        world.fleet.models[asked].wanted = 1;
        prop_assume!(fits(&world.fleet, asked));
        world.settle();
        for model in (0..count).filter(|model| fails(*model)) {
            world.fails[model] = true;
            world.fleet.models[model].wanted = 1;
        }
        let (before, left) = (world.loads.clone(), world.left);
        let mut expected = world.served[asked];
        for second in 0..300 {
            for model in (0..count).filter(|model| fails(*model)) {
                world.request(model, SECOND);
            }
            if at.contains(&second) {
                world.request(asked, SECOND);
                expected += 1;
            }
            world.run(SECOND);
        }
        prop_assert_eq!(world.served[asked], expected);
        for model in (0..count).filter(|model| fails(*model)) {
            // The first, and one after each pause of 1, 2, 4, 8 and 16 s; the next pause lasts for
            // longer than this test, and no load is begun in a pause. One more for each time that a
            // bin was to go: a load there may be stopped, which is no failure, or another one be
            // begun beside it.
            let loads = world.loads[model] - before[model];
            prop_assert!(loads <= 6 + world.left - left, "{} of {}", loads, model);
        }
    }

    /// All models ask all the time, not all fit, some never load, and some need as much as several
    /// others: the worst there is.
    #[test]
    fn loads_an_hour_are_bounded_whatever_the_demand(
        seconds in vec(1_u64..40, 2..6),
        room in 1_u64..4,
        memory in vec(1_u64..4, 6),
        fails in vec(prop::bool::weighted(0.2), 6),
        takes in vec(0_u32..8, 6),
        hold in 20_u32..600,
    ) {
        let models = (0..seconds.len()).map(|index| ModelNeed {
            hold: hold * SECOND,
            ..model(&format!("m-{index}"), memory[index].min(room))
        });
        let models: Vec<_> = models.collect();
        let mut world = World::new(Fleet { pools: vec![pool("host", &[room])], models });
        world.fails.copy_from_slice(&fails[..seconds.len()]);
        for (time, seconds) in world.load_times.iter_mut().zip(&seconds) {
            *time = *seconds as u32 * SECOND;
        }
        let end = world.now + 3600 * SECOND;
        while world.now < end {
            for (model, seconds) in takes[..seconds.len()].iter().enumerate() {
                world.request(model, *seconds * SECOND);
            }
            world.run(SECOND);
        }
        for (model, seconds) in seconds.iter().enumerate() {
            let loads = u64::from(world.loads[model]);
            if fails[model] {
                // Six, and then one each 300 s.
                prop_assert!(loads <= 6 + 3600 / 300);
                continue;
            }
            let cycle = seconds + (3 * seconds).max(10);
            prop_assert!(loads <= 3600 / cycle + 1);
            prop_assert!(world.served[model] > 0, "{} of {:?}", model, world.loads);
        }
    }
}

/// Only hosts, which do not scale, have models in several bins at once or in several pools.
pub(super) fn as_is_built(world: &mut World) {
    let pools = &world.fleet.pools;
    if pools.iter().any(|pool| pool.scaling.is_some()) {
        for model in &mut world.fleet.models {
            model.pools.retain(|pool| *pool < pools.len());
            model.pools.truncate(1);
            model.bins = 1;
        }
    }
}

/// Any amount may be over-committed, and nothing is pinned.
fn without_bounds(world: &mut World) {
    for pool in &mut world.fleet.pools {
        pool.overcommit = None;
    }
    for model in &mut world.fleet.models {
        model.pinned = false;
    }
}

/// Whether a pool has room for a replica of the model, were it empty and as large as it may get.
fn fits(fleet: &Fleet, model: usize) -> bool {
    let need = &fleet.models[model];
    need.pools
        .iter()
        .filter_map(|pool| fleet.pools.get(*pool))
        .any(|pool| {
            let there = pool
                .bins
                .iter()
                .filter(|bin| bin.memory >= Some(need.memory))
                .count();
            let to_come = pool.scaling.as_ref().map_or(0, |scaling| {
                let more = (scaling.max as usize).saturating_sub(pool.bins.len());
                if scaling.bin_memory >= Some(need.memory) {
                    more
                } else {
                    0
                }
            });
            there + to_come >= need.bins as usize
        })
}

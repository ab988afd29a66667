//! The rules, one by one.

use super::{
    super::{Fleet, ModelNeed, PlacedState, Unplaced, Why, plan},
    fixtures::{SECOND, model, pool},
    world::World,
};

fn world(memory: &[u64], models: Vec<ModelNeed>) -> World {
    let pools = vec![pool("mlserver", memory)];
    World::new(Fleet { pools, models })
}

/// Two models of which one has the only place, and is in use.
fn taken() -> World {
    let mut world = world(&[8], vec![model("a", 6), model("b", 6)]);
    world.put(0, 0, &[0]);
    world.fleet.models[1].load_time = Some(SECOND);
    world.fleet.models[1].admitted = true;
    for _ in 0..3 {
        world.request(0, 600 * SECOND);
    }
    world.step(SECOND);
    world
}

#[test]
fn the_bin_with_the_most_free_memory_comes_first_and_with_packing_the_least() {
    let mut world = world(&[4, 8, 8], vec![model("a", 2)]);
    let load = |world: &World| plan(&world.fleet, world.now).load[0].position.bins.clone();
    assert_eq!(load(&world), [1]);
    let mut scaling = super::fixtures::scaling(3, 3, 8);
    scaling.packing = true;
    world.fleet.pools[0].scaling = Some(scaling);
    assert_eq!(load(&world), [0]);
}

#[test]
fn each_model_gets_one_replica_before_any_gets_a_second() {
    let two = |name| ModelNeed {
        wanted: 2,
        ..model(name, 4)
    };
    let mut world = world(&[4, 4, 4], vec![two("a"), two("b"), two("c")]);
    world.settle();
    assert_eq!([0, 1, 2].map(|model| world.loaded(model)), [1, 1, 1]);
}

#[test]
fn a_model_of_several_devices_takes_room_in_each() {
    let wide = ModelNeed {
        bins: 2,
        ..model("wide", 6)
    };
    let mut world = world(&[8, 4, 8], vec![wide]);
    world.settle();
    assert_eq!(world.fleet.pools[0].placed[0].bins, [0, 2]);
}

#[test]
fn a_model_that_fits_nowhere_says_by_how_much() {
    const GIB: u64 = 1 << 30;
    let world = world(&[4 * GIB, 2 * GIB], vec![model("a", 6 * GIB)]);
    let plan = plan(&world.fleet, world.now);
    assert_eq!(
        plan.unplaced["a"].to_string(),
        "needs 6 GiB, and nothing of mlserver has more than 4 GiB"
    );
    assert!(plan.is_idle());
}

#[test]
fn what_is_promised_is_held_back_from_others() {
    let mut world = world(&[8], vec![model("a", 6), model("b", 4), model("c", 6)]);
    world.fleet.pools[0].overcommit = Some(50);
    let first = world.step(SECOND);
    assert_eq!(first.admit, ["a".into(), "b".into()]);
    assert!(matches!(
        first.unplaced["c"],
        Unplaced::HeldBack {
            promised: 10,
            limit: 12,
            ..
        }
    ));
}

#[test]
fn the_least_recently_used_idle_model_makes_room_for_a_request() {
    let models = ["a", "b", "c"].map(|name| model(name, 4));
    let mut world = world(&[8], models.to_vec());
    world.put(0, 0, &[0]);
    world.put(1, 0, &[0]);
    world.fleet.models[0].last_used = world.now - 100 * SECOND;
    world.fleet.models[1].last_used = world.now - 200 * SECOND;
    world.fleet.models[2].load_time = Some(SECOND);
    world.request(2, SECOND);
    let first = world.step(SECOND);
    assert_eq!(&*first.drain[0].position.model, "b");
    assert_eq!(first.drain[0].why, Why::Evicted { by: "c".into() });
    world.run(5 * SECOND);
    assert_eq!([0, 1, 2].map(|model| world.loaded(model)), [1, 0, 1]);
}

#[test]
fn a_model_in_use_keeps_its_room_until_more_waits_for_another() {
    let mut world = taken();
    world.request(1, SECOND);
    let plan = world.step(SECOND);
    assert!(plan.drain.is_empty() || plan.drain[0].why != Why::Evicted { by: "b".into() });
    // Nothing is held for `a`, and a request is for `b`: it is its turn.
    assert!(matches!(plan.drain[0].why, Why::Turn { held: 1, .. }));
    // The streams of `a` go on to their end; what comes for it meanwhile waits after `b`.
    world.run(50 * SECOND);
    let placed = &world.fleet.pools[0].placed[0];
    assert_eq!((placed.state, placed.in_flight), (PlacedState::Draining, 3));
}

#[test]
fn a_draining_model_gets_its_room_back_when_nobody_waits_for_it_any_more() {
    let mut world = taken();
    world.request(1, SECOND);
    world.run(SECOND);
    assert_eq!(world.loaded(0), 0);
    // The request for `b` has waited for its 60 s.
    world.run(61 * SECOND);
    assert_eq!(world.loaded(0), 1);
}

#[test]
fn a_failed_load_is_not_tried_again_before_its_time() {
    let mut world = world(&[8], vec![model("a", 4)]);
    world.fleet.models[0].not_before = Some(world.now + 3 * SECOND);
    let plan = plan(&world.fleet, world.now);
    assert_eq!(
        plan.unplaced["a"].to_string(),
        "loads again in 3 s, after a failure"
    );
    assert_eq!(plan.again_at, Some(world.now + 3 * SECOND));
    world.settle();
    assert_eq!(world.loaded(0), 1);
}

#[test]
fn a_pinned_model_is_never_evicted() {
    let mut world = world(&[8], vec![model("a", 6), model("b", 6)]);
    world.put(0, 0, &[0]);
    world.fleet.models[0].pinned = true;
    world.request(1, SECOND);
    world.run(100 * SECOND);
    assert_eq!(world.loaded(0), 1);
}

#[test]
fn models_that_may_be_in_several_pools_are_promised_no_more_than_all_of_those_have() {
    let only = ModelNeed {
        wanted: 0,
        min: 0,
        ..model("only-first", 3)
    };
    let large = ModelNeed {
        pools: vec![0, 1],
        wanted: 3,
        ..model("large", 7)
    };
    let last = ModelNeed {
        pools: vec![1, 0],
        ..model("last", 5)
    };
    let mut pools = vec![pool("one", &[7]), pool("two", &[7])];
    for pool in &mut pools {
        pool.overcommit = Some(6);
    }
    let models = vec![only, large, last];
    let mut world = World::new(Fleet { pools, models });
    world.settle();
    let admitted = world.fleet.models.iter().map(|model| model.admitted);
    assert_eq!(admitted.collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn where_there_is_more_than_fits_what_is_not_loaded_yet_goes_first_and_then_what_is_used_least() {
    let models = ["old", "new", "coming"].map(|name| model(name, 4));
    let mut world = world(&[12], models.to_vec());
    world.put(0, 0, &[0]);
    world.put(1, 0, &[0]);
    world.put(2, 0, &[0]);
    for (model, used) in world.fleet.models.iter_mut().zip([200, 100, 300]) {
        model.last_used = world.now - used * SECOND;
    }
    world.settle();
    let mut fleet = world.fleet.clone();
    fleet.pools[0].placed[2].state = PlacedState::Loading;
    for (memory, expected) in [
        (12, vec![]),
        (8, vec!["coming"]),
        (5, vec!["coming", "old"]),
    ] {
        fleet.pools[0].bins[0].memory = Some(memory);
        let plan = plan(&fleet, world.now);
        let too_much = plan
            .drain
            .iter()
            .filter(|drain| matches!(drain.why, Why::TooMuch { .. }));
        let models: Vec<_> = too_much.map(|drain| &*drain.position.model).collect();
        assert_eq!(models, expected, "{memory}");
        assert!(plan.load.is_empty());
    }
}

#[test]
fn a_model_that_needs_the_room_of_several_gets_its_turn_among_them() {
    for (memory, bins) in [(&[3, 3][..], 2), (&[3], 1)] {
        let large = ModelNeed {
            bins,
            ..model("large", 3)
        };
        let small = (0..8).map(|index| model(&format!("small-{index}"), 1));
        let mut world = world(memory, small.chain([large]).collect());
        // So that residencies end at different times.
        for (model, time) in world.load_times.iter_mut().enumerate() {
            *time = (3 + model as u32) * SECOND;
        }
        for _ in 0..1800 {
            for model in 0..9 {
                world.request(model, SECOND);
            }
            world.run(SECOND);
        }
        let turns = world.loads[8];
        assert!(
            turns >= 10,
            "{turns} turns in half an hour, and {:?} of others",
            world.loads
        );
    }
}

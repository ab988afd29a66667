//! Demand that stays the same comes to rest: nothing is loaded and evicted in turns.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{
    super::{Fleet, ModelNeed},
    fixtures::{SECOND, model, pinned, pool},
    properties::{any_world, as_is_built, events, live},
    world::World,
};
use crate::clock::Nanos;

fn host(memory: &[u64], models: Vec<ModelNeed>) -> World {
    let mut host = pool("host", memory);
    host.one_per_bin = false;
    World::new(Fleet {
        pools: vec![host],
        models,
    })
}

/// Some of the models in the first bin, which is to go.
fn first_bin_is_to_go(memory: &[u64], models: Vec<ModelNeed>, there: &[usize]) -> World {
    let mut world = host(memory, models);
    for &model in there {
        world.put(model, 0, &[0]);
    }
    world.fleet.pools[0].bins[0].leaving = true;
    world
}

#[test]
fn a_pinned_model_gets_its_place_before_one_that_must_move() {
    let models = vec![model("moves", 3), pinned("pinned", 5)];
    let mut world = first_bin_is_to_go(&[12, 6], models, &[0]);
    world.settle();
    assert_eq!((world.loaded(0), world.loaded(1)), (0, 1));
    assert_eq!(world.loads, [0, 1]);
}

#[test]
fn a_model_that_is_on_its_way_gives_its_new_place_to_a_pinned_one_only_once() {
    let models = vec![model("moves", 3), pinned("pinned", 5)];
    let mut world = first_bin_is_to_go(&[12, 6], models, &[0]);
    world.request(0, 600 * SECOND);
    world.fleet.models[1].wanted = 0;
    world.step(SECOND);
    world.fleet.models[1].wanted = 1;
    world.run(10 * SECOND);
    assert_eq!(world.loads, [1, 1]);
    let of_moves = &world.fleet.pools[0].placed[0];
    assert_eq!((&of_moves.bins[..], of_moves.in_flight), (&[0][..], 1));
    world.settle();
    assert_eq!((world.loaded(0), world.loaded(1)), (0, 1));
    assert_eq!(world.loads, [1, 1]);
}

#[test]
fn a_pinned_model_moves_without_a_gap_into_the_room_of_one_that_is_idle() {
    let models = vec![pinned("pinned", 5), model("idle", 5)];
    let mut world = first_bin_is_to_go(&[6, 6], models, &[0]);
    world.put(1, 0, &[1]);
    world.fleet.models[1].last_used = world.now - 100 * SECOND;
    for _ in 0..20 {
        world.step(SECOND);
        assert!(world.loaded(0) >= 1);
    }
    assert_eq!(world.fleet.pools[0].placed.len(), 1);
    assert_eq!(world.fleet.pools[0].placed[0].bins, [1]);
}

/// A model that is being loaded into the first bin, which is then to go.
fn first_bin_is_to_go_during_a_load() -> World {
    let mut world = host(&[6, 6], vec![model("loads", 5)]);
    world.step(SECOND);
    world.fleet.pools[0].bins[0].leaving = true;
    world
}

#[test]
fn a_model_that_is_being_loaded_is_not_loaded_elsewhere_at_the_same_time() {
    let mut world = first_bin_is_to_go_during_a_load();
    world.step(SECOND);
    assert_eq!(world.loads, [1]);
    world.fleet.pools[0].bins[0].leaving = false;
    world.settle();
    assert_eq!((world.loaded(0), &world.loads[..]), (1, &[1][..]));

    let mut world = first_bin_is_to_go_during_a_load();
    world.settle();
    assert_eq!((world.loaded(0), &world.loads[..]), (1, &[2][..]));
    assert_eq!(world.fleet.pools[0].placed[0].bins, [1]);
}

#[test]
fn a_model_is_loaded_elsewhere_at_once_if_its_bin_goes_in_any_case() {
    let mut world = first_bin_is_to_go_during_a_load();
    world.fleet.pools[0].bins[0].given_up = true;
    world.step(SECOND);
    assert_eq!(world.loads, [2]);
}

#[test]
fn a_model_that_was_never_loaded_waits_until_another_has_moved() {
    let models = vec![model("moves", 3), model("new", 5)];
    let mut world = first_bin_is_to_go(&[12, 6], models, &[0]);
    world.settle();
    // Nobody uses the one that moves.
    assert_eq!((world.loaded(0), world.loaded(1)), (0, 1));
    assert_eq!(world.loads, [1, 1]);
}

#[test]
fn of_models_that_must_move_into_the_same_room_the_larger_one_does() {
    let mut models = vec![model("large", 4), model("small", 3)];
    models[1].last_used = Nanos::from_duration(900 * SECOND);
    // Its load has failed, and is tried again when that of the other has ended.
    models[1].not_before = Some(Nanos::from_duration(1002 * SECOND));
    let mut world = first_bin_is_to_go(&[12, 6], models, &[0, 1]);
    world.settle();
    assert_eq!((world.loaded(0), world.loaded(1)), (1, 0));
    assert_eq!(world.loads, [1, 0]);
}

#[test]
fn a_further_replica_takes_no_room_of_a_model_that_is_on_its_way() {
    let busy = ModelNeed {
        wanted: 2,
        ..model("busy", 5)
    };
    let models = vec![model("moves", 3), busy];
    let mut world = first_bin_is_to_go(&[12, 6, 6], models, &[0]);
    world.put(1, 0, &[2]);
    world.full[1] = 1;
    world.rest();
    // Nobody uses the one that moves.
    assert_eq!((world.loaded(0), world.loaded(1)), (0, 2));
    assert_eq!(world.loads, [1, 1]);
}

#[test]
fn a_model_in_use_keeps_its_second_replica_before_another_gets_one() {
    let two = |name| ModelNeed {
        wanted: 2,
        min: 2,
        ..model(name, 3)
    };
    let mut world = host(&[6, 3], vec![two("in-use"), two("busy")]);
    world.put(0, 0, &[0]);
    world.put(0, 0, &[1]);
    world.put(1, 0, &[0]);
    world.full[1] = 1;
    world.request(0, 600 * SECOND);
    world.run(500 * SECOND);
    assert_eq!(world.loads, [0, 0]);
    world.rest();
    assert_eq!((world.loaded(0), world.loaded(1)), (1, 2));
    assert_eq!(world.loads, [0, 1]);
}

#[test]
fn a_model_that_was_loaded_when_tailback_started_is_not_one_that_was_never_loaded() {
    let mut world = host(&[6], vec![model("there", 3), model("new", 5)]);
    world.put(0, 0, &[0]);
    world.fleet.models[0].load_time = None;
    world.settle();
    assert_eq!((world.loaded(0), world.loaded(1)), (0, 1));
    assert_eq!(world.loads, [0, 1]);
}

/// What a fleet that is in use begins with.
#[derive(Clone, Debug)]
struct Start {
    /// Replicas that are loaded: which model, in which pool and bin.
    placed: Vec<(Index, Index, Index)>,
    /// Bins that are to go, and whether that can be revoked.
    leaving: Vec<(Index, Index, bool)>,
    models: Vec<StartOfModel>,
}

#[derive(Clone, Debug)]
struct StartOfModel {
    pinned: bool,
    /// Requests that are held all the time although replicas serve the model.
    full: u32,
    /// When it was last used.
    unused_for: u32,
    /// Whether it is known how long its load takes.
    measured: bool,
}

fn start() -> impl Strategy<Value = Start> {
    let model = (
        prop::bool::weighted(0.3),
        prop_oneof![3 => Just(0_u32), 1 => 1_u32..4],
        0_u32..200,
        prop::bool::weighted(0.8),
    )
        .prop_map(|(pinned, full, unused_for, measured)| StartOfModel {
            pinned,
            full,
            unused_for,
            measured,
        });
    let leaving = vec(any::<(Index, Index, bool)>(), 0..3);
    let placed = vec(any::<(Index, Index, Index)>(), 0..12);
    (placed, leaving, vec(model, 10)).prop_map(|(placed, leaving, models)| Start {
        placed,
        leaving,
        models,
    })
}

fn begin(world: &mut World, start: &Start) {
    as_is_built(world);
    for (placed, pool, bin) in &start.placed {
        let model = placed.index(world.fleet.models.len());
        let pool = pool.index(world.fleet.pools.len());
        let bin = bin.index(world.fleet.pools[pool].bins.len());
        world.put_if_it_fits(model, pool, bin);
    }
    for (pool, bin, given_up) in &start.leaving {
        let pool = pool.index(world.fleet.pools.len());
        let bins = &mut world.fleet.pools[pool].bins;
        let bin = bin.index(bins.len());
        let bin = &mut bins[bin];
        (bin.leaving, bin.given_up) = (true, *given_up);
    }
    let full = world.full.iter_mut();
    for ((need, start), full) in world.fleet.models.iter_mut().zip(&start.models).zip(full) {
        need.pinned = start.pinned;
        need.last_used = world.now - start.unused_for * SECOND;
        need.load_time = need.load_time.filter(|_| start.measured);
        *full = start.full;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_time: 20_000, ..ProptestConfig::default() })]

    /// Bins of different sizes are to go, some models are pinned, and of some models all replicas
    /// are full all the time.
    #[test]
    fn constant_demand_comes_to_rest(
        mut world in any_world(),
        start in start(),
        events in events(),
    ) {
        begin(&mut world, &start);
        live(&mut world, &events);
        world.rest();
    }
}

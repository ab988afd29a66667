//! Servers that scale by what their models need.

use super::{
    super::{Fleet, ModelNeed},
    fixtures::{SECOND, model, numbered, pool, scaling},
    world::World,
};

fn world(memory: &[u64], max: u32, models: Vec<ModelNeed>) -> World {
    let mut server = pool("mlserver", memory);
    server.scaling = Some(scaling(memory.len() as u32, max, 8));
    server.overcommit = Some(0);
    World::new(Fleet {
        pools: vec![server],
        models,
    })
}

/// How many bins are not to go.
fn bins(world: &World) -> usize {
    let bins = &world.fleet.pools[0].bins;
    bins.iter().filter(|bin| !bin.leaving).count()
}

fn asked(world: &World) -> u32 {
    let scaling = world.fleet.pools[0].scaling.as_ref();
    scaling.expect("it scales").asked
}

#[test]
fn a_server_grows_by_memory_and_by_the_highest_count() {
    let models = ["a", "b", "c", "d", "e"].map(|name| model(name, 3));
    let mut world = world(&[8], 6, models.to_vec());
    assert_eq!(world.step(SECOND).servers["mlserver"], 3);
    world.settle();
    assert_eq!((0..5).map(|model| world.loaded(model)).sum::<usize>(), 5);
    world.fleet.models[0].wanted = 4;
    world.settle();
    assert_eq!((asked(&world), world.loaded(0)), (5, 4));
}

#[test]
fn over_commit_saves_replicas() {
    let models = ["a", "b", "c"].map(|name| model(name, 4));
    let mut world = world(&[8], 4, models.to_vec());
    world.fleet.pools[0].overcommit = Some(50);
    world.settle();
    assert_eq!(asked(&world), 1);
}

#[test]
fn an_empty_replica_goes_after_the_count_was_stable() {
    let mut world = world(&[8, 8, 8], 3, vec![model("a", 4)]);
    world.put(0, 0, &[1]);
    world.run(59 * SECOND);
    world.settle();
    assert_eq!((asked(&world), bins(&world), world.loaded(0)), (1, 1, 1));
    assert!(!world.fleet.pools[0].bins[1].leaving);
}

#[test]
fn where_the_last_replica_is_removed_first_what_it_has_moves_before() {
    let mut world = world(&[8, 8, 8], 3, vec![model("a", 4), model("b", 4)]);
    world.fleet.pools[0] = numbered(world.fleet.pools[0].clone());
    world.put(0, 0, &[1]);
    world.put(1, 0, &[2]);
    world.request(1, 200 * SECOND);
    for _ in 0..150 {
        world.step(SECOND);
        assert!(world.loaded(1) >= 1);
    }
    assert_eq!(asked(&world), 3, "a request is in flight in the last one");
    world.settle();
    assert_eq!((asked(&world), bins(&world)), (2, 2));
    assert!(world.fleet.pools[0].bins[2].leaving);
    assert_eq!((world.loaded(0), world.loaded(1)), (1, 1));
}

#[test]
fn without_packing_models_stay_where_they_are() {
    let mut world = world(&[8, 8], 2, vec![model("a", 2), model("b", 2)]);
    world.put(0, 0, &[0]);
    world.put(1, 0, &[1]);
    world.settle();
    assert_eq!(bins(&world), 2);
}

#[test]
fn packing_loads_elsewhere_first_and_then_lets_the_replica_go() {
    let mut world = world(&[8, 8], 2, vec![model("a", 2), model("b", 2)]);
    let scaling = world.fleet.pools[0].scaling.as_mut().expect("it scales");
    scaling.packing = true;
    world.put(0, 0, &[0]);
    world.put(1, 0, &[1]);
    for _ in 0..100 {
        world.step(SECOND);
        assert!(world.loaded(0) >= 1 && world.loaded(1) >= 1);
    }
    world.settle();
    assert_eq!((asked(&world), bins(&world)), (1, 1));
}

#[test]
fn what_is_replaced_keeps_its_models_until_they_are_loaded_in_the_other_one() {
    let mut world = world(&[8, 8], 3, vec![model("a", 4), model("b", 4)]);
    let pool = &mut world.fleet.pools[0];
    (pool.bins[0].leaving, pool.bins[0].given_up) = (true, true);
    pool.scaling.as_mut().expect("it scales").asked = 1;
    world.put(0, 0, &[0]);
    world.put(1, 0, &[0]);
    for _ in 0..20 {
        world.step(SECOND);
        assert!(world.loaded(0) >= 1 && world.loaded(1) >= 1);
    }
    assert_eq!(asked(&world), 1, "the old one is not among those asked for");
    let placed = &world.fleet.pools[0].placed;
    assert!(placed.iter().all(|placed| placed.bins == [1]), "{placed:?}");
}

#[test]
fn packing_leaves_a_margin() {
    // 4 + 4 fill one replica to the brim: that is not worth a move.
    let mut world = world(&[8, 8], 2, vec![model("a", 4), model("b", 4)]);
    let scaling = world.fleet.pools[0].scaling.as_mut().expect("it scales");
    scaling.packing = true;
    world.put(0, 0, &[0]);
    world.put(1, 0, &[1]);
    world.settle();
    assert_eq!(bins(&world), 2);
}

#[test]
fn fewer_than_the_models_need_are_asked_for_only_where_the_bound_says_so() {
    let models = ["a", "b"].map(|name| model(name, 6));
    let mut world = world(&[8, 8], 2, models.to_vec());
    world.settle();
    assert_eq!(bins(&world), 2);
    let scaling = world.fleet.pools[0].scaling.as_mut().expect("it scales");
    scaling.max = 1;
    world.settle();
    assert_eq!((asked(&world), bins(&world)), (1, 1));
}

#[test]
fn nothing_is_loaded_into_a_replica_that_is_removed_because_one_before_it_is_to_go() {
    let models = ["a", "b", "c"].map(|name| model(name, 8));
    let mut world = world(&[8, 8, 8, 8], 4, models.to_vec());
    world.fleet.pools[0] = numbered(world.fleet.pools[0].clone());
    world.fleet.pools[0].bins[1].leaving = true;
    world.put(0, 0, &[0]);
    world.put(1, 0, &[2]);
    world.request(2, SECOND);
    // The count goes down to three, as the fourth is empty.
    world.run(120 * SECOND);
    assert_eq!(world.served[2], 1);
}

#[test]
fn a_replica_that_is_to_go_stays_if_the_server_needs_it_again_before_it_was_given_up() {
    let models = ["a", "b", "c"].map(|name| model(name, 8));
    let mut world = world(&[8, 8, 8], 3, models.to_vec());
    world.fleet.pools[0].bins[2].leaving = true;
    world.put(0, 0, &[0]);
    world.put(1, 0, &[1]);
    let plan = world.step(SECOND);
    assert_eq!((plan.stay, plan.servers.len()), (vec![(0, 2)], 0));
    world.settle();
    assert_eq!((asked(&world), world.loaded(2)), (3, 1));
    // One that was given up is gone.
    let bin = &mut world.fleet.pools[0].bins[2];
    (bin.leaving, bin.given_up) = (true, true);
    assert!(world.step(SECOND).stay.is_empty());
}

#[test]
fn a_model_whose_loads_fail_does_not_make_others_go_to_and_fro() {
    let mut models = ["a", "b", "fails"].map(|name| model(name, 4)).to_vec();
    models[2].memory = 1;
    let mut world = world(&[8, 8, 8], 3, models);
    world.fleet.pools[0] = numbered(world.fleet.pools[0].clone());
    world.put(0, 0, &[0]);
    world.put(1, 0, &[2]);
    world.fleet.models[2].not_before = Some(world.now + 3600 * SECOND);
    // Steps are counted there.
    world.run(300 * SECOND);
    assert_eq!((asked(&world), world.loads[1]), (2, 1));
}

#[test]
fn what_fits_nowhere_goes_with_its_replica_also_where_an_empty_one_before_it_is_to_go() {
    let models = ["a", "b"].map(|name| model(name, 6));
    let mut world = world(&[8, 8, 8], 3, models.to_vec());
    world.fleet.pools[0] = numbered(world.fleet.pools[0].clone());
    // Memory does not make the server grow.
    world.fleet.pools[0].overcommit = None;
    world.put(0, 0, &[0]);
    world.put(1, 0, &[2]);
    // The last one is to go, and its model cannot be loaded in the second one for now. So the second
    // one is to go as well. It is removed only after the last one, which must not wait for it.
    world.fleet.models[1].not_before = Some(world.now + 100 * SECOND);
    world.settle();
    assert_eq!((asked(&world), bins(&world)), (1, 1));
    assert_eq!((world.loaded(0), world.loaded(1)), (1, 0));
}

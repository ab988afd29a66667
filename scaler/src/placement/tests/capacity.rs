//! How many replicas a model could have.

use super::{
    super::{BinPool, Fleet, ModelNeed, plan},
    fixtures::{SECOND, model, pinned, pool, scaling},
    world::World,
};
use crate::clock::Nanos;

/// A model that has one replica and may have nine.
fn grows() -> ModelNeed {
    ModelNeed {
        max: 9,
        ..model("grows", 4)
    }
}

/// It in the first bin of `pool`, and others that fill the bins that are said.
fn world(pool: BinPool, others: &[(ModelNeed, usize)]) -> World {
    let mut models = vec![grows()];
    models.extend(others.iter().map(|(model, _)| model.clone()));
    let mut world = World::new(Fleet {
        pools: vec![pool],
        models,
    });
    world.put(0, 0, &[0]);
    for (model, (_, bin)) in others.iter().enumerate() {
        world.put(model + 1, 0, &[*bin]);
    }
    world.step(SECOND);
    world
}

fn capacity(world: &World) -> u32 {
    plan(&world.fleet, world.now).capacity["grows"]
}

#[test]
fn it_is_what_a_model_has_and_what_there_is_free_room_for() {
    let world = world(pool("server", &[8, 8, 8, 2]), &[(pinned("pinned", 6), 1)]);
    assert_eq!(capacity(&world), 2, "one in each replica of a server");
}

#[test]
fn a_device_has_as_many_as_its_memory() {
    let device = BinPool {
        one_per_bin: false,
        ..pool("host", &[13])
    };
    assert_eq!(capacity(&world(device, &[])), 3);
}

#[test]
fn replicas_of_the_server_that_may_come_count() {
    let mut server = pool("server", &[8]);
    server.scaling = Some(scaling(1, 4, 8));
    assert_eq!(capacity(&world(server.clone(), &[])), 4);
    server.scaling = Some(scaling(1, 4, 3));
    assert_eq!(capacity(&world(server, &[])), 1, "it does not fit there");
}

#[test]
fn what_nobody_uses_goes_for_a_model_for_which_requests_are_held() {
    let mut world = world(pool("server", &[4, 8]), &[(model("other", 8), 1)]);
    assert_eq!(capacity(&world), 1);
    world.fleet.models[0].held = 1;
    assert_eq!(capacity(&world), 2);
    world.fleet.models[1].last_used = world.now;
    assert_eq!(capacity(&world), 1, "it is in use");
    let later = plan(&world.fleet, world.now).again_at;
    assert!(later.is_some_and(|at| at > world.now && at <= world.now + 60 * SECOND));
}

#[test]
fn an_idle_replica_of_a_model_that_would_take_the_room_back_does_not_go() {
    let other = ModelNeed {
        wanted: 2,
        min: 2,
        ..model("other", 8)
    };
    let mut world = world(pool("server", &[4, 8, 8]), &[(other, 1)]);
    world.request(1, 600 * SECOND);
    world.run(300 * SECOND);
    world.fleet.models[0].held = 1;
    assert_eq!(capacity(&world), 1, "another replica of it is in use");
    world.run(400 * SECOND);
    world.fleet.models[0].held = 1;
    assert_eq!(capacity(&world), 3);
}

#[test]
fn of_models_that_have_all_they_may_have_nothing_is_said() {
    let fleet = Fleet {
        pools: vec![pool("server", &[8])],
        models: vec![model("a", 4)],
    };
    assert!(plan(&fleet, Nanos(1)).capacity.is_empty());
}

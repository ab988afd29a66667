//! The invariants of the simulation.

use std::{rc::Rc, time::Duration};

use tokio::time::sleep;

use super::{
    World,
    served::{CONCURRENCY, MODELS},
};
use crate::simulation::DataPlane;

/// Checks the invariants continuously.
pub(super) async fn watch(world: Rc<World>, data_plane: Rc<DataPlane>) {
    loop {
        always(&world, &data_plane);
        if world.is_violated() {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Invariants that hold at any time.
pub(super) fn always(world: &World, data_plane: &DataPlane) {
    let all = data_plane.replicas();
    for (model, replica) in &all {
        let permits = replica.in_flight();
        if permits > CONCURRENCY {
            world.violated(format!("a replica of {model} has {permits} requests"));
        }
    }
    for model in MODELS {
        let counts = data_plane.ledger(model).read();
        let in_flight = counts.in_flight();
        if counts.completed > counts.arrived {
            world.violated(format!(
                "{model}: more has completed than arrived: {counts:?}"
            ));
        }
        if counts.held + counts.receiving > in_flight {
            world.violated(format!("{model}: more waits than is in flight: {counts:?}"));
        }
        let own = all.iter().filter(|(of, _)| *of == model);
        let permits: u32 = own.map(|(_, replica)| replica.in_flight()).sum();
        if u64::from(permits) > in_flight {
            world.violated(format!(
                "{model}: {permits} permits for {in_flight} requests in flight"
            ));
        }
    }
}

/// Invariants that hold once all callers and replicas have gone.
pub(super) fn at_the_end(world: &World, data_plane: &DataPlane, to_replicas: usize) {
    let open = data_plane.connections();
    if open > 0 {
        world.violated(format!(
            "{open} connections of callers that have gone are open"
        ));
    }
    if to_replicas > 0 {
        world.violated(format!(
            "{to_replicas} connections to replicas that have gone are open"
        ));
    }
    for (model, replica) in data_plane.replicas() {
        if replica.in_flight() > 0 {
            world.violated(format!(
                "a permit of a replica of {model} did not come back"
            ));
        }
    }
    for model in MODELS {
        let counts = data_plane.ledger(model).read();
        if (counts.in_flight(), counts.held, counts.receiving) != (0, 0, 0) {
            world.violated(format!("{model}: something is still counted: {counts:?}"));
        }
        if data_plane.pool(model).has_waiters() {
            world.violated(format!("{model}: requests that are gone wait"));
        }
    }
    if !data_plane.has_all_memory_back() {
        world.violated("bodies that are gone have memory".to_owned());
    }
}

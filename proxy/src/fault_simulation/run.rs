//! One run of the simulation, from its seed to its results.

use std::{rc::Rc, thread, time::Duration};

use tokio::{
    runtime::Builder,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    World,
    ask::Ask,
    http1_caller::{self, ask_once},
    http2_caller, invariants, operator,
    replicas::{Hosts, ToHosts},
    served::{self, MODELS},
    world::{Shown, spawn},
};
use crate::{
    net::simulated,
    simulation::{DataPlane, clock},
};

/// A run that takes longer on its own clock counts as hung.
const LONGEST: Duration = Duration::from_secs(1_000);
/// The time until all connections of callers and replicas that have gone are closed: connections
/// to a vanished host are given up after half a minute, and idle connections to replicas are
/// checked every five seconds.
const CLOSED_WITHIN: u32 = 90;

/// Runs the simulation of `seed` on a new thread, so that thread-local state is new.
pub(super) fn run(seed: u64) -> Shown {
    let simulation = move || {
        fastrand::seed(seed);
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .on_thread_unpark(clock::follow)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            clock::begin();
            let world = Rc::new(World::new(seed));
            if timeout(LONGEST, scenario(&world)).await.is_err() {
                world.violated("the simulation does not end".to_owned());
            }
            world.shown()
        })
    };
    let ended = thread::Builder::new()
        .spawn(simulation)
        .map(|thread| thread.join());
    match ended {
        Ok(Ok(shown)) => shown,
        failed => Shown {
            violations: vec![format!("the simulation panicked: {failed:?}")],
            events: Vec::new(),
            tally: Default::default(),
        },
    }
}

async fn scenario(world: &Rc<World>) {
    let hosts = Rc::new(Hosts::new(world.clone()));
    simulated::enter(Rc::new(ToHosts(hosts.clone())));
    let data_plane = Rc::new(served::data_plane());
    for model in MODELS {
        served::set_replicas(&data_plane, model, true);
    }
    let beside = [
        spawn(invariants::watch(world.clone(), data_plane.clone())),
        spawn(operator::review(data_plane.clone())),
    ];
    let trouble = spawn(operator::trouble(
        world.clone(),
        data_plane.clone(),
        hosts.clone(),
    ));
    let end = world.goes_wrong(0.3);
    let end = end.then(|| spawn(operator::shut_down(world.clone(), data_plane.clone())));
    for caller in start_callers(world, &data_plane) {
        if let Err(panic) = caller.await {
            world.violated(format!("a caller: {panic}"));
        }
    }
    world.is_healed.set(true);
    trouble.abort();
    match end {
        Some(end) => drop(end.await),
        None => serves_on(world, &data_plane, &hosts).await,
    }
    world.event("all callers and replicas have gone");
    for model in MODELS {
        served::set_replicas(&data_plane, model, false);
    }
    for _ in 0..CLOSED_WITHIN {
        if (data_plane.connections(), hosts.connections()) == (0, 0) {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    invariants::always(world, &data_plane);
    invariants::at_the_end(world, &data_plane, hosts.connections());
    beside.iter().for_each(|task| task.abort());
}

/// Starts all callers, each at its own time.
fn start_callers(world: &Rc<World>, data_plane: &Rc<DataPlane>) -> Vec<JoinHandle<()>> {
    let one = |_| {
        let asks = (0..world.number(1..=4)).map(|_| Ask::draw(world)).collect();
        let comes = world.milliseconds(0..=8_000);
        let is_http2 = world.chance(0.35);
        let (world, data_plane) = (world.clone(), data_plane.clone());
        spawn(async move {
            sleep(comes).await;
            match is_http2 {
                true => http2_caller::run(world, data_plane, asks).await,
                false => http1_caller::run(world, data_plane, asks).await,
            }
        })
    };
    (0..world.number(4..=14)).map(one).collect()
}

/// After all faults, sound replicas must answer requests.
async fn serves_on(world: &Rc<World>, data_plane: &DataPlane, hosts: &Hosts) {
    for host in hosts.all.values() {
        host.is_up.set(true);
        host.is_reachable.set(true);
    }
    for model in MODELS {
        served::set_replicas(data_plane, model, true);
        let status = ask_once(world, data_plane, model, Duration::from_secs(5)).await;
        if status != Some(200) {
            world.violated(format!(
                "after the faults, {model} answers {status:?} and not 200"
            ));
        }
    }
}

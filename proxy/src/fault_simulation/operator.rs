//! Faults of replicas, and events of the whole process.

use std::{rc::Rc, time::Duration};

use tokio::time::sleep;

use super::{
    World,
    replicas::Hosts,
    served::{self, MODELS},
    world::{LONGEST_SLEEP_MS, SLEEPS, spawn},
};
use crate::simulation::{DataPlane, clock};

/// Reviews the replicas' health, as the scaler does.
pub(super) async fn review(data_plane: Rc<DataPlane>) {
    loop {
        sleep(Duration::from_millis(250)).await;
        data_plane.review_health();
    }
}

/// Causes faults until the world is healed.
pub(super) async fn trouble(world: Rc<World>, data_plane: Rc<DataPlane>, hosts: Rc<Hosts>) {
    let mut sleeps = 0;
    loop {
        sleep(world.milliseconds(300..=4_000)).await;
        if world.is_healed.get() {
            return;
        }
        if !world.goes_wrong(0.8) {
            continue;
        }
        let place = world.number(0..=(hosts.all.len() as u64 - 1)) as usize;
        let host = hosts.all.values().nth(place).expect("there").clone();
        let model = MODELS[world.number(0..=1) as usize];
        match world.number(0..=7) {
            0..=2 => {
                world.event(format_args!("{} crashes", host.name));
                host.crash();
                let back = world.milliseconds(50..=3_000);
                spawn(async move {
                    sleep(back).await;
                    host.is_up.set(true);
                });
            }
            3 => {
                world.event(format_args!("{} cannot be reached", host.name));
                host.is_reachable.set(false);
                let back = world.milliseconds(300..=4_000);
                spawn(async move {
                    sleep(back).await;
                    host.is_reachable.set(true);
                });
            }
            4 | 5 => {
                world.event(format_args!("{model} gets other replicas"));
                served::set_replicas(&data_plane, model, true);
            }
            6 => {
                world.event(format_args!("{model} has no replicas"));
                served::set_replicas(&data_plane, model, false);
                let back = world.milliseconds(100..=7_000);
                let data_plane = data_plane.clone();
                spawn(async move {
                    sleep(back).await;
                    served::set_replicas(&data_plane, model, true);
                });
            }
            _ if sleeps < SLEEPS => {
                sleeps += 1;
                let time = world.milliseconds(100..=LONGEST_SLEEP_MS);
                world.event(format_args!("the machine sleeps for {time:?}"));
                clock::sleep_machine(time).await;
            }
            _ => {}
        }
    }
}

/// The process is told to end, and does so after its drain time.
pub(super) async fn shut_down(world: Rc<World>, data_plane: Rc<DataPlane>) {
    sleep(world.milliseconds(1_000..=12_000)).await;
    world.event("the proxy drains");
    data_plane.drain();
    sleep(world.milliseconds(0..=15_000)).await;
    world.event("the time to drain is over");
    data_plane.end();
}

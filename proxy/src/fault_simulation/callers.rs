//! What callers by all versions of HTTP have in common.

use std::{rc::Rc, time::Duration};

use tokio::{task::JoinHandle, time::sleep};

use super::{
    World,
    ask::{Ask, End},
    http1_caller, http2_caller,
    operator::ASLEEP,
    served::WORST,
    world::spawn,
};
use crate::{net::simulated::Stream, simulation::DataPlane};

/// Starts all callers. Each comes at a time of its own.
pub(super) fn start(world: &Rc<World>, data_plane: &Rc<DataPlane>) -> Vec<JoinHandle<()>> {
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

/// A new connection, and how long it is silent at most. `None`: nobody listens any more.
pub(super) fn connect(world: &World, data_plane: &DataPlane) -> Option<(Stream, Duration)> {
    let plan = world.plan();
    let silence = plan.silence();
    Some((data_plane.connect(plan)?, silence))
}

/// By when a request must have ended, where the connection was silent for at most `silence`.
pub(super) fn limit(world: &World, ask: &Ask, silence: Duration) -> Duration {
    let asleep = if world.is_calm() {
        Duration::ZERO
    } else {
        ASLEEP
    };
    WORST + ask.waits() + silence + asleep
}

/// Takes down how a request ended.
pub(super) fn concluded(world: &World, ask: &Ask, end: &End) {
    world.event(format_args!(
        "request {} ({} {}, {} B{}{}): {end:?}",
        ask.id,
        ask.method(),
        ask.model,
        ask.body,
        if ask.is_chunked { ", chunked" } else { "" },
        if ask.half_closes { ", half-closed" } else { "" },
    ));
    world.count(&format!("{end:?}"));
    if world.is_calm() && *end != End::Answered(200) {
        world.violated(format!(
            "nothing has gone wrong, and request {} ended by {end:?}",
            ask.id
        ));
    }
}

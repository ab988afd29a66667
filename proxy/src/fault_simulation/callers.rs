//! What simulated callers of all HTTP versions have in common.

use std::time::Duration;

use super::{
    World,
    ask::{Ask, End},
    served::WORST,
    world::ASLEEP,
};
use crate::{net::simulated::Stream, simulation::DataPlane};

/// A new connection, and its longest silence. `None`: nothing listens any more.
pub(super) fn connect(world: &World, data_plane: &DataPlane) -> Option<(Stream, Duration)> {
    let plan = world.plan();
    let silence = plan.silence();
    Some((data_plane.connect(plan)?, silence))
}

/// The time by which a request must have ended, if the connection was silent for at most
/// `silence`.
pub(super) fn limit(world: &World, ask: &Ask, silence: Duration) -> Duration {
    let asleep = if world.is_calm() {
        Duration::ZERO
    } else {
        ASLEEP
    };
    WORST + ask.waits() + silence + asleep
}

/// Records the result of a request.
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

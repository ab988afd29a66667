//! The behaviour of simulated replicas, in either version of HTTP.

use std::time::Duration;

use super::World;

/// What a replica does with one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// It answers without having read the body.
    pub is_early: bool,
    /// On HTTP/1.1, how many interim answers it sends before it answers.
    pub interim: u64,
    /// It answers that it is overloaded.
    pub refuses: bool,
    /// How long it takes to answer.
    pub works: Duration,
    pub answer: usize,
    /// After this many bytes of the response, its connection or stream is reset.
    pub breaks_off: Option<usize>,
    /// On HTTP/1.1, the framing: with a length, in chunks, or up to the end of the connection.
    pub framing: u64,
    /// It closes its connection after the response, without having announced it.
    pub closes: bool,
}

impl Manner {
    pub(super) fn draw(world: &World) -> Self {
        let answer = world.size(300_000);
        let breaks_off = world.goes_wrong(0.15);
        Self {
            is_early: world.goes_wrong(0.1),
            interim: match world.chance(0.2) {
                true => world.number(1..=5),
                false => 0,
            },
            refuses: world.goes_wrong(0.1),
            works: match world.goes_wrong(0.25) {
                true => world.milliseconds(50..=9_000),
                false => world.milliseconds(0..=40),
            },
            answer,
            breaks_off: breaks_off.then(|| world.number(0..=answer as u64) as usize),
            framing: world.number(0..=4),
            closes: world.chance(0.1),
        }
    }
}

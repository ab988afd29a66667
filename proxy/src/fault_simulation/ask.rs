//! The requests of simulated callers, and bodies whose bytes show which request they belong to.

use std::time::Duration;

use super::World;

/// The header with the number of a request or response.
pub(super) const ID: &str = "x-simulated-id";
/// The header with the length of its body.
pub(super) const LENGTH: &str = "x-simulated-length";

/// The length of the repeated pattern in a body: a prime, so that no shifted piece is taken for
/// another.
const PERIOD: usize = 251;

/// The pattern in the body of the request or response `id`.
fn pattern(id: u64, is_answer: bool) -> [u8; PERIOD] {
    let of_id = id.wrapping_mul(2).wrapping_add(is_answer.into());
    let first = of_id.wrapping_mul(97) as u8;
    std::array::from_fn(|place| first.wrapping_add(place as u8))
}

/// The body of the request or response `id`.
pub(super) fn body(id: u64, is_answer: bool, length: usize) -> Vec<u8> {
    let mut all = pattern(id, is_answer).repeat(length.div_ceil(PERIOD));
    all.truncate(length);
    all
}

/// Whether `bytes`, at offset `place` of a body, are those of the request or response `id`.
pub(super) fn is_of(id: u64, is_answer: bool, mut place: usize, mut bytes: &[u8]) -> bool {
    let pattern = pattern(id, is_answer);
    while !bytes.is_empty() {
        let expected = &pattern[place % PERIOD..];
        let length = expected.len().min(bytes.len());
        if bytes[..length] != expected[..length] {
            return false;
        }
        place += length;
        bytes = &bytes[length..];
    }
    true
}

/// A request, and the behaviour of its caller.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub id: u64,
    pub model: &'static str,
    pub is_post: bool,
    pub body: usize,
    pub is_chunked: bool,
    /// The body is sent in this many pieces, with this pause before each.
    pub pieces: usize,
    pub pause: Duration,
    /// The caller closes its sending side after the request.
    pub half_closes: bool,
    /// The caller disconnects this long after it has begun.
    pub leaves_after: Option<Duration>,
    /// The caller pauses for this long in the middle of the response.
    pub reads_late: Duration,
}

impl Ask {
    pub(super) fn draw(world: &World) -> Self {
        let is_post = world.chance(0.8);
        let is_slow = world.goes_wrong(0.2);
        Self {
            id: world.next_id(),
            model: super::served::MODELS[world.number(0..=1) as usize],
            is_post,
            body: if is_post { world.size(150_000) } else { 0 },
            is_chunked: world.chance(0.3),
            pieces: world.number(1..=4) as usize,
            pause: match is_slow {
                true => world.milliseconds(100..=7_000),
                false => world.milliseconds(0..=20),
            },
            half_closes: world.chance(0.1),
            leaves_after: (world.goes_wrong(0.15)).then(|| world.milliseconds(0..=6_000)),
            reads_late: match world.goes_wrong(0.15) {
                true => world.milliseconds(10..=8_000),
                false => Duration::ZERO,
            },
        }
    }

    /// The longest time for which its caller keeps the proxy waiting.
    pub(super) fn waits(&self) -> Duration {
        self.pause * u32::try_from(self.pieces + 1).unwrap() + self.reads_late
    }

    pub(super) fn method(&self) -> &'static str {
        if self.is_post { "POST" } else { "GET" }
    }

    pub(super) fn path(&self) -> String {
        format!("/v2/models/{}/infer", self.model)
    }
}

/// The result of a request for its caller.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    /// A complete response with this status.
    Answered(u16),
    /// An incomplete response with this status.
    Broken(u16),
    /// The connection was closed without a response.
    Closed,
    /// The caller disconnected.
    Left,
}

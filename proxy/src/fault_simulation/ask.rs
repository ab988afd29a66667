//! What callers ask, and what is sent: bytes that tell whose they are.

use std::time::Duration;

use super::World;

/// The field that names a request, and its answer.
pub(super) const ID: &str = "x-simulated-id";
/// The length of what is sent with it.
pub(super) const LENGTH: &str = "x-simulated-length";

/// What bodies repeat: a prime number of bytes, so that no piece passes for another.
const PERIOD: usize = 251;

/// What the body of the request or answer `id` repeats.
fn pattern(id: u64, is_answer: bool) -> [u8; PERIOD] {
    let of_id = id.wrapping_mul(2).wrapping_add(is_answer.into());
    let first = of_id.wrapping_mul(97) as u8;
    std::array::from_fn(|place| first.wrapping_add(place as u8))
}

/// The body of the request or answer `id`.
pub(super) fn body(id: u64, is_answer: bool, length: usize) -> Vec<u8> {
    let mut all = pattern(id, is_answer).repeat(length.div_ceil(PERIOD));
    all.truncate(length);
    all
}

/// Whether `bytes`, at `place` of a body, are those of the request or answer `id`.
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

/// A request, and how its caller behaves.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub id: u64,
    pub model: &'static str,
    pub is_post: bool,
    pub body: usize,
    pub is_chunked: bool,
    /// The body is sent in so many pieces, with this pause before each.
    pub pieces: usize,
    pub pause: Duration,
    /// It ends its side behind the request.
    pub half_closes: bool,
    /// It goes away so long after it has begun.
    pub leaves_after: Option<Duration>,
    /// It waits for so long in the middle of the answer.
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

    /// How long its caller keeps the proxy waiting, at most.
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

/// How a request ended for its caller.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    /// By a whole answer of this status.
    Answered(u16),
    /// By an answer that broke off.
    Broken(u16),
    /// Without an answer.
    Closed,
    /// The caller left.
    Left,
}

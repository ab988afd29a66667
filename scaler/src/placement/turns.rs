//! How models in use share room that is too small for all of them: they take turns.
//!
//! **Who takes.** A model with held requests and no replica that is loaded or on its way. One
//! that only wants more replicas takes nothing from models in use.
//!
//! **Who gives.** A replica that has been loaded for its [`residency`] and is not pinned, if one of
//! these holds:
//!
//! 1. its model can spare it: it has more replicas than its minimum;
//! 2. the taker is *urgent*: its oldest held request has waited for half of the time that it may
//!    be held;
//! 3. more requests are held for the taker than for the giver.
//!
//! The giver is drained: its streams go on to their end, and what comes in meanwhile is held. The
//! room stays the taker's, because a model that is being drained comes after all others that
//! wait. It gets its room back only if nobody waits for it any more.
//!
//! **Who is first.** Among takers the urgent come first; then those for which the most requests
//! are held. Of urgent ones those come first that have been without a replica for longer than
//! their requests may be held, the longest before the others: so each gets its turn, even if all
//! requests wait for too long. Then comes the one whose time ends next.
//! For the longest without a replica, room is kept where it comes free first, so that a model which needs
//! the room of several gets its turn though their residencies end one after the other.
//!
//! **Why this cannot thrash.** A replica leaves its room to another model only when it has been
//! loaded for a residency R ≥ max(1 s, 3·L), with L its load time. So a room in which n replicas
//! fit at once sees at most n·3600 s ÷ (L + R) such changes an hour, whatever the demand; and since
//! R ≥ 3·L, at most a quarter of the time goes to loading, and at most an eleventh where loads take
//! up to a second. A model that takes 30 s to load changes place at most 30 times an hour.
//! Evictions of idle models obey the same residency, so the bound holds for both together.
//!
//! **Two models under constant load, room for one.** Requests for B are held while A has the
//! room. When A has had its residency, B gets its turn as soon as more requests are held for B
//! than for A, or B is urgent. A's streams end, A is unloaded, B is loaded, all that is held for B
//! is served, and then it is the other way round. B waits for the longest of the rest of A's
//! residency and half of its hold time, then for A's streams and its own load. Where that is
//! longer than its hold time, requests are answered as such whose hold time is over: more hold
//! time, or more memory, is what helps.

use std::time::Duration;

use super::fleet::ModelNeed;
use crate::clock::Nanos;

/// The longest residency of a model that loads within a second.
const MOST_OF_QUICK: Duration = Duration::from_secs(10);
/// The shortest residency: what a load and an unload cost besides their time stays rare.
const LEAST: Duration = Duration::from_secs(1);

/// How long a model keeps its room, once loaded: 10 times as long as its load took, from 1 s up to 10 s;
/// then 3 times as long as its load took. 10 s where no load was measured.
///
/// With 10 s for all, 20 models that load within 0.1 s in the room of 16 answer a fifth of what they do by plain
/// LRU: whoever is out waits, for loads that cost nothing.
pub(super) fn residency(model: &ModelNeed) -> Duration {
    model.load_time.map_or(MOST_OF_QUICK, |load| {
        let quick = load.saturating_mul(10).clamp(LEAST, MOST_OF_QUICK);
        quick.max(load.saturating_mul(3))
    })
}

/// Whether a replica of `giver` that has had its residency, and that may be in use, gives its
/// room to `taker`. `spare`: whether `giver` has more replicas than its minimum.
pub(super) fn gives_way(giver: &ModelNeed, spare: bool, taker: &ModelNeed, now: Nanos) -> bool {
    spare || is_urgent(taker, now) || taker.held > giver.held
}

/// Whether a model's oldest held request has waited for half of the time that it may be held.
pub(super) fn is_urgent(model: &ModelNeed, now: Nanos) -> bool {
    urgent_from(model).is_some_and(|time| time <= now)
}

/// From when on a model is urgent, if nothing changes.
pub(super) fn urgent_from(model: &ModelNeed) -> Option<Nanos> {
    let since = model.held_since.filter(|_| model.held > 0)?;
    Some(since + model.hold / 2)
}

/// Whether a model has been without a replica for longer than its requests may be held. One whose
/// loads fail never is: it does not push others out for that.
pub(super) fn is_overdue(model: &ModelNeed, now: Nanos) -> bool {
    let out = (model.out_since).is_none_or(|since| now.since(since) >= model.hold);
    out && model.not_before.is_none()
}

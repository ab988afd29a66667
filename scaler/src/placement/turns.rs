//! How models in use share room that is too small for all of them: by turns.
//!
//! **Takers.** A model with held requests and no replica that is loaded or loading. A model that
//! only wants more replicas takes nothing from models in use.
//!
//! **Givers.** A replica whose [`residency`] is over and that is not pinned, if one of these
//! holds:
//!
//! 1. its model has more replicas than its minimum;
//! 2. the taker is *urgent*: its oldest held request has waited for half of the time that it may
//!    be held;
//! 3. more requests are held for the taker than for the giver.
//!
//! The giver is drained: its streams go on to their end, and new requests for it are held. The
//! room stays the taker's, because a model that is being drained comes after all others that wait.
//! It gets its room back only if no other model waits for it any more.
//!
//! **Order of takers.** Urgent ones come first, then those with the most held requests. Among
//! urgent ones, models that have been without a replica for longer than their requests may be held
//! come first, the longest one before the others: so each gets its turn, even if all requests wait
//! for too long. Then comes the one whose requests reach the end of their hold time next.
//! For the model that has been without a replica for longest, room is kept as soon as it comes
//! free, so that a model that needs the room of several others gets its turn although their
//! residencies end one after the other.
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
/// The shortest residency, so that the cost of a load and an unload besides their time stays rare.
const LEAST: Duration = Duration::from_secs(1);

/// How long a model keeps its room, once loaded: 10 times as long as its load took, from 1 s up to 10 s;
/// then 3 times as long as its load took. 10 s where no load was measured.
///
/// With 10 s for all, 20 models that load within 0.1 s in the room of 16 answer a fifth of the
/// requests that they answer with plain LRU: requests of models without room wait for loads that
/// cost nearly nothing.
pub(super) fn residency(model: &ModelNeed) -> Duration {
    model.load_time.map_or(MOST_OF_QUICK, |load| {
        let quick = load.saturating_mul(10).clamp(LEAST, MOST_OF_QUICK);
        quick.max(load.saturating_mul(3))
    })
}

/// Whether a replica of `giver` whose residency is over, and that may be in use, gives its room to
/// `taker`. `spare`: whether `giver` has more replicas than its minimum.
pub(super) fn gives_way(giver: &ModelNeed, spare: bool, taker: &ModelNeed, now: Nanos) -> bool {
    spare || is_urgent(taker, now) || taker.held > giver.held
}

/// Whether a model's oldest held request has waited for half of the time that it may be held.
pub(super) fn is_urgent(model: &ModelNeed, now: Nanos) -> bool {
    urgent_from(model).is_some_and(|time| time <= now)
}

/// When a model becomes urgent, if nothing changes.
pub(super) fn urgent_from(model: &ModelNeed) -> Option<Nanos> {
    let since = model.held_since.filter(|_| model.held > 0)?;
    Some(since + model.hold / 2)
}

/// Whether a model has been without a replica for longer than its requests may be held. A model
/// whose loads fail is never overdue: others are not evicted for loads that fail.
pub(super) fn is_overdue(model: &ModelNeed, now: Nanos) -> bool {
    let out = (model.out_since).is_none_or(|since| now.since(since) >= model.hold);
    out && model.not_before.is_none()
}

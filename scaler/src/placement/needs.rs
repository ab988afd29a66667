//! Why models want replicas, in which order they get room for them, and whose room they may take.

use std::cmp::Reverse;

use super::{draft::Draft, fleet::PlacedState, turns};
use crate::clock::Nanos;

/// One more replica that a model wants.
pub(super) struct Claim {
    pub(super) model: usize,
    /// Which of the model's replicas it would be, counted from 1.
    pub(super) rank: u32,
    /// Why the model wants it.
    pub(super) need: Need,
}

/// Why a replica is wanted. Claims are met in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// A model is urgent, and has been without a replica for longer than its requests may be held.
    Overdue { out_since: Option<Nanos> },
    /// Requests are held for a model that has no replica, and have waited for half of their time.
    Urgent { until: Nanos },
    /// Requests are held for a model that has no replica.
    Held { held: Reverse<u32> },
    /// Like [`Held`](Self::Held), but a replica of the model is being drained for another model.
    HeldWhileDraining { held: Reverse<u32> },
    /// The model is pinned, and its replica must leave its bin.
    PinnedMoving { memory: Reverse<u64> },
    /// The model is pinned.
    Pinned,
    /// The model's replica must leave its bin.
    Moving { memory: Reverse<u64> },
    /// The model was never loaded.
    First,
    /// The model is in use, or was a moment ago, and has fewer replicas than its minimum.
    Minimum,
    /// Requests are held, and more replicas wanted than the minimum.
    FurtherHeld { held: Reverse<u32> },
    /// More replicas are wanted than the minimum.
    Further,
    /// The model was loaded before, and nobody uses it.
    Return { last_used: Reverse<Nanos> },
}

/// Whose room a model may take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum May {
    /// No other model's.
    Nothing,
    /// That of models which were last used before that time.
    UsedBefore(Nanos),
    /// That of models which were not used for as long as their residency is.
    Unused,
    /// That of models which have nothing in flight and nothing held.
    Idle,
    /// That of models in use too, when it is the model's turn.
    Turn,
}

impl Claim {
    /// What a model claims that has `staying` replicas which may stay where they are, and wants
    /// one more as its `rank`th.
    pub(super) fn of(draft: &Draft<'_>, model: usize, rank: u32, staying: u32) -> Self {
        Self {
            model,
            rank,
            need: what_for(draft, model, rank, staying),
        }
    }

    /// Claims are met in this order: minimums first, one replica of each model before the second
    /// one of any; further replicas next, models that nobody uses last.
    pub(super) fn order(&self) -> (u8, u32, Need, usize) {
        let tier = match self.need {
            Need::FurtherHeld { .. } => 1,
            Need::Further => 2,
            Need::Return { .. } => 3,
            _ => 0,
        };
        let rank = match self.need {
            Need::PinnedMoving { .. } | Need::Pinned => 1,
            _ => self.rank,
        };
        (tier, rank, self.need, self.model)
    }

    /// Whose room the claim may take. [`takes_back`] bounds it further.
    pub(super) fn may(&self, draft: &Draft<'_>) -> May {
        let model = &draft.fleet.models[self.model];
        match self.need {
            Need::Overdue { .. }
            | Need::Urgent { .. }
            | Need::Held { .. }
            | Need::HeldWhileDraining { .. } => May::Turn,
            Need::PinnedMoving { .. } | Need::Pinned => May::Idle,
            Need::Moving { .. } if self.rank == 1 => May::UsedBefore(model.last_used),
            // A model whose first load has failed is not worth an eviction.
            Need::First if model.not_before.is_none() => May::Unused,
            Need::FurtherHeld { .. } => May::Unused,
            Need::Minimum if model.held > 0 => May::Unused,
            _ => May::Nothing,
        }
    }
}

/// Whether a model that loses a replica to a claim, besides `lost` others, would come before that
/// claim with its own. It would then take the room back, and so they would go in circles.
pub(super) fn takes_back(draft: &Draft<'_>, model: usize, lost: u32, from: &Claim) -> bool {
    let staying = draft.staying[model].saturating_sub(lost.saturating_add(1));
    let wants_it = staying < draft.fleet.models[model].wanted;
    wants_it && Claim::of(draft, model, staying + 1, staying).order() < from.order()
}

fn what_for(draft: &Draft<'_>, model: usize, rank: u32, staying: u32) -> Need {
    let need = &draft.fleet.models[model];
    let replicas = || draft.replicas_of(model);
    let held = Reverse(need.held);
    let memory = Reverse(need.memory);
    let parting = replicas().filter(|r| r.parting && r.serves()).count();
    let moving = rank <= staying.saturating_add(parting as u32);
    if rank > draft.floor[model] {
        return match need.held {
            _ if moving => Need::Moving { memory },
            0 => Need::Further,
            _ => Need::FurtherHeld { held },
        };
    }
    let serves = staying > 0 || parting > 0;
    if need.held > 0 && rank == 1 && !serves {
        let draining = replicas().any(|replica| !replica.serves());
        return match turns::urgent_from(need) {
            _ if draining => Need::HeldWhileDraining { held },
            Some(from) if from <= draft.now && turns::is_overdue(need, draft.now) => {
                Need::Overdue {
                    out_since: need.out_since,
                }
            }
            Some(from) if from <= draft.now => Need::Urgent {
                until: from + need.hold / 2,
            },
            _ => Need::Held { held },
        };
    }
    // How long its load takes is not known of a model that was loaded when Tailback started.
    let was_loaded = || {
        let mut replicas = replicas();
        need.load_time.is_some()
            || need.out_since.is_some()
            || replicas.any(|replica| replica.state != PlacedState::Loading)
    };
    let in_use = need.last_used + turns::residency(need) > draft.now
        || replicas().any(|replica| replica.in_flight > 0);
    match need.pinned {
        true if moving => Need::PinnedMoving { memory },
        true => Need::Pinned,
        false if moving => Need::Moving { memory },
        false if rank == 1 && !was_loaded() => Need::First,
        false if in_use || need.held > 0 => Need::Minimum,
        false => Need::Return {
            last_used: Reverse(need.last_used),
        },
    }
}

//! Step 3: a slot of a replica, at once or after a wait.

use tailback_scaler::{clock::Nanos, ledger::Ledger};

use super::outgoing::Outgoing;
use crate::{
    admit::{NoPlace, Part, balance},
    answer::Failure,
    downstream::{Call, Phase},
    upstream::Slot,
    worker::ModelRef,
};

/// What comes of asking for a slot.
pub(super) enum Admitted {
    /// There is one.
    Slot(Slot),
    /// The model's requests wait elsewhere since a reload, or nowhere.
    Moved,
}

/// A slot of one of the model's replicas. As long as the request waits for it,
/// `part` covers what it has in memory of its body.
pub(super) async fn admit(
    call: &Call,
    model: &ModelRef,
    outgoing: &mut Outgoing,
    part: &mut Part<'_>,
    now: Nanos,
) -> Result<Admitted, Failure> {
    // Who comes now does not overtake who waits.
    if !model.pool.shared().has_line() {
        let replicas = model.pool.replicas();
        if let Some(i) = balance::take(&replicas, now) {
            part.clear();
            let slot = Slot::taken(model.pool.clone(), replicas[i].clone());
            return Ok(Admitted::Slot(slot));
        }
    }
    // In a box, as it is rare: what every request has of it is moved.
    let admitted = Box::pin(hold(call, model, outgoing, part)).await;
    part.clear();
    admitted
}

/// Waits in line.
async fn hold(
    call: &Call,
    model: &ModelRef,
    outgoing: &mut Outgoing,
    part: &mut Part<'_>,
) -> Result<Admitted, Failure> {
    call.enter(Phase::Held);
    let hold = &model.model.config.hold;
    let limit = hold.queue.value;
    if !part.cover(outgoing.buffered()) {
        return Err(Failure::NoRoom);
    }
    let mut held = None;
    let place = model.pool.shared().join(|| {
        let full = model.model.ledger.held() >= u64::from(limit);
        if !full {
            held = Some(Ledger::hold(model.clone()));
        }
        full
    });
    let place = match place {
        Ok(place) => place,
        Err(NoPlace::Closed) => return Ok(Admitted::Moved),
        Err(NoPlace::Full) => {
            let model = model.model.name().to_owned();
            return Err(Failure::QueueFull { model, limit });
        }
    };
    let granted = tokio::time::timeout(hold.deadline.value, place.granted());
    let granted = tokio::select! {
        biased;
        granted = granted => granted,
        failure = outgoing.read_ahead(part) => return Err(failure),
    };
    match granted {
        Ok(Some(replica)) => {
            let slot = Slot::taken(model.pool.clone(), model.pool.own(&replica));
            Ok(Admitted::Slot(slot))
        }
        Ok(None) => Ok(Admitted::Moved),
        Err(_) => Err(Failure::HeldTooLong {
            model: model.model.name().to_owned(),
            seconds: hold.deadline.value.as_secs_f64(),
        }),
    }
}

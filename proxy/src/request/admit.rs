//! Step 3: a slot of a replica, at once or after a wait.

use tailback_scaler::{clock::Nanos, ledger::Ledger};

use crate::{
    admit::balance,
    answer::Failure,
    downstream::{Call, DataPlane, Phase},
    upstream::Slot,
    worker::ModelRef,
};

/// A slot of one of the model's replicas. `buffered`: bytes that the request has
/// in memory of its body.
pub(super) async fn admit(
    plane: &DataPlane,
    call: &Call,
    model: &ModelRef,
    buffered: impl FnOnce() -> usize,
    now: Nanos,
) -> Result<Slot, Failure> {
    // Who comes now does not overtake who waits.
    if !model.pool.shared().has_line() {
        let replicas = model.pool.replicas();
        if let Some(i) = balance::take(&replicas, now) {
            return Ok(Slot::taken(model.pool.clone(), replicas[i].clone()));
        }
    }
    // In a box, as it is rare: what every request has of it is moved.
    Box::pin(hold(plane, call, model, buffered())).await
}

/// Waits in line.
async fn hold(
    plane: &DataPlane,
    call: &Call,
    model: &ModelRef,
    buffered: usize,
) -> Result<Slot, Failure> {
    call.enter(Phase::Held);
    let hold = &model.model.config.hold;
    let limit = hold.queue.value;
    let Some(_part) = plane.room.take(buffered) else {
        return Err(Failure::NoRoom {
            model: model.model.name().to_owned(),
        });
    };
    let mut held = None;
    let place = model.pool.shared().join(|| {
        let full = model.model.ledger.held() >= u64::from(limit);
        if !full {
            held = Some(Ledger::hold(model.clone()));
        }
        full
    });
    let Some(place) = place else {
        return Err(Failure::QueueFull {
            model: model.model.name().to_owned(),
            limit,
        });
    };
    match tokio::time::timeout(hold.deadline.value, place.granted()).await {
        Ok(Some(replica)) => Ok(Slot::taken(model.pool.clone(), model.pool.own(&replica))),
        Ok(None) | Err(_) => Err(Failure::HeldTooLong {
            model: model.model.name().to_owned(),
            seconds: hold.deadline.value.as_secs_f64(),
        }),
    }
}

//! Plans which processes of a set to start and stop, as a pure function.

use tailback_config::Strategy;

/// The phase of an instance's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum InstancePhase {
    /// Takes requests.
    Ready,
    /// Started, not yet ready.
    Starting,
    /// Takes no new requests and stops after its last one, unless it is needed again.
    Draining,
    /// Was asked to stop, which cannot be revoked.
    Ending,
}

/// What planning needs to know about an instance.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub id: u64,
    pub phase: InstancePhase,
    /// Whether it runs the current configuration.
    pub current: bool,
    /// Whether its health lets it get requests.
    pub healthy: bool,
    /// Whether it is to be replaced because it stays unhealthy.
    pub condemned: bool,
    /// Whether an operator has asked for its replacement.
    pub restarting: bool,
    pub in_flight: u32,
}

/// What to start and stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct InstancePlan {
    /// How many instances are missing. Some may have to wait until others have stopped.
    pub missing: u32,
    /// How many of the missing ones to start now.
    pub start: u32,
    /// Ids of instances to drain.
    pub drain: Vec<u64>,
    /// Ids of draining instances that are needed again.
    pub resume: Vec<u64>,
}

/// Plans how to get from `instances` to `wanted` of the current configuration.
///
/// If there are too many, instances that are not ready go first, then unhealthy ones, then those
/// with the fewest requests, then the youngest. If there are too few, draining ones are taken back
/// before others are started. `strategy` decides whether instances of an older configuration stay
/// until as many new ones are ready, or go before new ones start.
///
/// An instance that is to be restarted counts as missing. With [`Strategy::Surge`] it stays until
/// its replacement is ready, provided that there is room for both, or will be once draining
/// instances have gone.
///
/// The server has room for `capacity` replicas of the current configuration. A draining or ending
/// instance takes its room until it has gone, so that no start fails for lack of a device or
/// memory.
pub(super) fn plan(
    instances: &[View],
    wanted: u32,
    strategy: Strategy,
    capacity: u32,
) -> InstancePlan {
    let wanted = wanted as usize;
    let live = |current| {
        let live = |m: &&View| {
            m.current == current
                && !m.condemned
                && !m.restarting
                && matches!(m.phase, InstancePhase::Starting | InstancePhase::Ready)
        };
        best_first(instances.iter().filter(live))
    };
    let new = live(true);
    let new_ready = new
        .iter()
        .filter(|m| m.phase == InstancePhase::Ready)
        .count();
    let old = live(false);
    let old_ready = old
        .iter()
        .filter(|m| m.phase == InstancePhase::Ready)
        .count();
    let keep_old = match strategy {
        Strategy::Surge => wanted.saturating_sub(new_ready).min(old_ready),
        Strategy::Recreate => 0,
    };
    let returning = |m: &&View| {
        m.current && !m.condemned && !m.restarting && m.phase == InstancePhase::Draining
    };
    let lacking = wanted.saturating_sub(new.len());
    let resume: Vec<_> = best_first(instances.iter().filter(returning))
        .iter()
        .take(lacking)
        .map(|m| m.id)
        .collect();
    let missing = lacking - resume.len();
    let taken = instances.iter().filter(|m| m.current).count();
    let room = match strategy {
        Strategy::Surge => (capacity as usize).saturating_sub(taken),
        Strategy::Recreate => wanted.saturating_sub(instances.len()),
    };
    // Instances that leave anyway make room, too, once they have gone.
    let goes = |m: &&View| {
        let unready = m.restarting && m.phase == InstancePhase::Starting;
        m.current
            && (m.condemned
                || unready
                || matches!(m.phase, InstancePhase::Draining | InstancePhase::Ending))
    };
    let going = instances.iter().filter(goes).count() - resume.len();
    let room_to_come = (capacity as usize).saturating_sub(taken - going);
    let restarting = |m: &&View| {
        m.restarting
            && !m.condemned
            && matches!(m.phase, InstancePhase::Starting | InstancePhase::Ready)
    };
    let restarting = best_first(instances.iter().filter(restarting));
    let restarting_ready = restarting
        .iter()
        .filter(|m| m.phase == InstancePhase::Ready)
        .count();
    let keep_restarting = match strategy {
        Strategy::Surge => wanted
            .saturating_sub(new_ready + keep_old)
            .min(restarting_ready)
            // As many as must go before others can start.
            .saturating_sub(missing.saturating_sub(room_to_come)),
        Strategy::Recreate => 0,
    };
    let condemned = |m: &&View| {
        m.condemned && matches!(m.phase, InstancePhase::Starting | InstancePhase::Ready)
    };
    let condemned: Vec<_> = instances.iter().filter(condemned).copied().collect();
    let drain = new.iter().skip(wanted).chain(old.iter().skip(keep_old));
    let drain = drain.chain(&condemned);
    let drain = drain.chain(restarting.iter().skip(keep_restarting));
    InstancePlan {
        missing: count(missing),
        start: count(missing.min(room)),
        drain: drain.map(|m| m.id).collect(),
        resume,
    }
}

/// Sorts instances so that the best to keep come first.
fn best_first<'a>(instances: impl Iterator<Item = &'a View>) -> Vec<View> {
    let mut sorted: Vec<_> = instances.copied().collect();
    sorted.sort_by_key(|m| {
        let busy = std::cmp::Reverse(m.in_flight);
        (m.phase != InstancePhase::Ready, !m.healthy, busy, m.id)
    });
    sorted
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;

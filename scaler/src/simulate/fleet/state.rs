//! The state of a simulated fleet.

use std::{collections::VecDeque, time::Duration};

use super::ModelResult;
use crate::{clock::Nanos, placement::PlacedState};

/// The state of a model.
#[derive(Default)]
pub(super) struct FleetModel {
    /// Requests that are held, by index, the oldest first.
    pub(super) held: VecDeque<usize>,
    pub(super) replicas: Vec<usize>,
    pub(super) last_used: Nanos,
    pub(super) admitted: bool,
    pub(super) load_time: Option<Duration>,
    pub(super) serves: bool,
    pub(super) out_since: Option<Nanos>,
    pub(super) result: ModelResult,
}

/// What the models in one bin share besides its memory.
#[derive(Default)]
pub(super) struct FleetBin {
    /// Requests in service, of all models.
    pub(super) in_flight: u32,
    /// Models with requests held for a slot of this bin, in the order in which they get one.
    pub(super) waiting: VecDeque<usize>,
}

/// A replica of a model.
pub(super) struct FleetReplica {
    pub(super) model: usize,
    pub(super) pool: usize,
    pub(super) bins: Vec<usize>,
    pub(super) state: PlacedState,
    pub(super) since: Nanos,
    /// When its load began.
    pub(super) from: Nanos,
    /// When its load ends, or ended.
    pub(super) ready_at: Nanos,
    pub(super) in_flight: u32,
}

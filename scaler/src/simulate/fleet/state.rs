//! The state of a simulated fleet.

use std::{collections::VecDeque, time::Duration};

use super::ModelResult;
use crate::{clock::Nanos, placement::PlacedState};

/// The state of a model.
#[derive(Default)]
pub(super) struct Model {
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

/// A replica of a model.
pub(super) struct Replica {
    pub(super) model: usize,
    pub(super) pool: usize,
    pub(super) bins: Vec<usize>,
    pub(super) state: PlacedState,
    pub(super) since: Nanos,
    /// When its load ends, or ended.
    pub(super) ready_at: Nanos,
    pub(super) in_flight: u32,
}

//! What surrounds the scaler in a simulation.

use std::time::Duration;

use super::start_up::StartUp;

/// What surrounds the scaler.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// Requests one replica takes at once; `None`: no limit.
    pub concurrency: Option<u32>,
    /// From asking for a replica until it takes requests.
    pub start_up: StartUp,
    /// Replicas that are ready at the beginning.
    pub initial: u32,
    /// The most replicas there is room for.
    pub capacity: u32,
    /// Of start-up times and of the choice between replicas.
    pub seed: u64,
    /// Width of the slices of [`SimulationResult::timeline`](super::outcome::SimulationResult::timeline); `None`: none are kept.
    pub timeline: Option<Duration>,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            concurrency: Some(8),
            start_up: StartUp::Constant(Duration::from_secs(30)),
            initial: 1,
            capacity: u32::MAX,
            seed: 1,
            timeline: None,
        }
    }
}

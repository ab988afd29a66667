//! The conditions of a simulation.

use std::time::Duration;

use super::start_up::StartUp;

/// The environment of the simulated scaler.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// Requests one replica takes at once; `None`: no limit.
    pub concurrency: Option<u32>,
    /// Time from asking for a replica until it takes requests.
    pub start_up: StartUp,
    /// Number of replicas that are ready at the beginning.
    pub initial: u32,
    /// Largest number of replicas that there is room for.
    pub capacity: u32,
    /// Whether a draining replica is taken back when demand returns, as processes are; else, as
    /// with pods, another one starts.
    pub takes_back: bool,
    /// Seed of the random start-up times and of the choice between replicas.
    pub seed: u64,
    /// Width of the slices of
    /// [`SimulationResult::timeline`](super::outcome::SimulationResult::timeline); `None`: no
    /// timeline.
    pub timeline: Option<Duration>,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            concurrency: Some(8),
            start_up: StartUp::Constant(Duration::from_secs(30)),
            initial: 1,
            capacity: u32::MAX,
            takes_back: false,
            seed: 1,
            timeline: None,
        }
    }
}

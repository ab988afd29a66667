//! A deterministic simulation of several models that share room: the devices of a host, or the
//! replicas of multi-model servers.
//!
//! The [`FleetTrace`] has the requests of all models; the [`FleetSetup`] has the room, the needs
//! of models, and the duration of their loads. The live [`placement`](crate::placement) decides
//! which models have the room, or another [`Placer`] for comparison. Each model has its minimum of
//! replicas, at least one; the counts of servers do not change, and unloading takes no time.

mod engine;
mod lru;
mod placing;
mod setup;
mod state;
mod trace;

use std::{fmt, str::FromStr, time::Duration};

pub use self::trace::{FleetRequest, FleetTrace};
use super::{Extent, outcome::quantile};
use crate::{
    clock::Nanos,
    placement::{BinPool, ModelNeed},
};

/// The room and the models.
#[derive(Clone, Debug, Default)]
pub struct FleetSetup {
    /// Groups of bins, with nothing placed in them.
    pub pools: Vec<BinPool>,
    /// Requests that each bin of a pool takes at once over all its models, by pool; `None`: any
    /// number.
    pub concurrency: Vec<Option<u32>>,
    /// The models. [`FleetRequest::model`] is an index into them.
    pub models: Vec<SimulatedModel>,
    /// The width of the slices in which held requests are recorded; `None`: not recorded.
    pub timeline: Option<Duration>,
}

/// A model in a simulation.
#[derive(Clone, Debug)]
pub struct SimulatedModel {
    /// Its needs, and its state at the beginning.
    pub need: ModelNeed,
    /// How long each load takes.
    pub load: Duration,
    /// Requests that a replica takes at once; `None`: any number.
    pub concurrency: Option<u32>,
}

/// The rule that decides which model has the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placer {
    /// The code that runs live.
    Placement,
    /// A model that is asked for and not loaded gets the room of the least recently used one at
    /// once. That one finishes its requests in flight first.
    Lru,
    /// There is room for all.
    RoomForAll,
}

/// The result of a simulation.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetResult {
    /// The rule that decided.
    pub placer: Placer,
    /// How long each request was held, in seconds, ascending; infinite for requests that were held
    /// for longer than allowed, and so were not served.
    pub waits: Vec<f32>,
    /// How often a model was evicted for another.
    pub evictions: u32,
    /// Time from the first arrival until the last request was done.
    pub end: Duration,
    /// The results of each model, in the order of the setup.
    pub models: Vec<ModelResult>,
    /// When each model was where, in the order in which they left.
    pub stays: Vec<Stay>,
}

/// A stay of one replica of a model in its bins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    /// The model, by its index in the setup.
    pub model: usize,
    /// The pool, by its index.
    pub pool: usize,
    /// The bins, by index.
    pub bins: Vec<usize>,
    /// When its load began.
    pub from: Nanos,
    /// When it began to take requests; equal to `until` if it never did.
    pub ready: Nanos,
    /// When its room was free again, or the simulation ended.
    pub until: Nanos,
}

/// The result for one model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelResult {
    /// As [`FleetResult::waits`], for this model's requests.
    pub waits: Vec<f32>,
    /// How often it was loaded.
    pub loads: u32,
    /// How many seconds it was ready to take requests; with two replicas, both count.
    pub resident_seconds: f64,
    /// Its held requests in slices of time, if they are recorded.
    pub held: Vec<Extent>,
}

impl Placer {
    /// All rules, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Placement, Self::Lru, Self::RoomForAll];
}

impl fmt::Display for Placer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Placement => "placement",
            Self::Lru => "lru",
            Self::RoomForAll => "room-for-all",
        })
    }
}

impl FromStr for Placer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|own| own.to_string() == text);
        found.ok_or_else(|| format!("found {text:?}, expected placement, lru or room-for-all"))
    }
}

impl FleetResult {
    /// How often models were loaded.
    #[must_use]
    pub fn loads(&self) -> u32 {
        self.models.iter().map(|model| model.loads).sum()
    }
}

/// The share of requests that were served, 0 to 1; 1 without requests. `waits` are ascending.
#[must_use]
pub fn answered(waits: &[f32]) -> f64 {
    match waits.len() {
        0 => 1.0,
        all => waits.partition_point(|wait| wait.is_finite()) as f64 / all as f64,
    }
}

/// The `q` quantile (0 to 1) of ascending waits, in seconds; 0 if there are none.
#[must_use]
pub fn wait_quantile(waits: &[f32], q: f64) -> f64 {
    quantile(waits, q)
}

/// Simulates `requests`, which are in the order of their arrival, until the last is done.
#[must_use]
pub fn simulate(requests: &[FleetRequest], setup: &FleetSetup, placer: Placer) -> FleetResult {
    let mut setup = setup.clone();
    if placer == Placer::RoomForAll {
        for pool in &mut setup.pools {
            pool.overcommit = None;
            pool.bins.iter_mut().for_each(|bin| bin.memory = None);
        }
    }
    engine::FleetEngine::new(requests, &setup, placer).run()
}

#[cfg(test)]
mod tests;

//! A deterministic discrete-event simulation of one model, its replicas and
//! whoever scales them, on a virtual clock.
//!
//! A [`Trace`] of requests meets a [`World`](world) of replicas with a start-up
//! time and a concurrency, and an [`Autoscaler`]: the live [`ModelScaler`](crate::model_scaler)
//! itself, or one of the field's rules in [`mod@reference`]. The [`SimulationResult`] says how
//! long requests waited and what the replicas cost, beside the [`bound`] of
//! someone who knew the trace beforehand. The same seed gives the same outcome.

pub mod bound;
pub mod compare;
mod engine;
pub mod live;
pub mod outcome;
pub mod read;
pub mod reference;
pub mod shapes;
pub mod start_up;
pub mod timeline;
pub mod trace;
mod world;

use std::time::Duration;

pub use self::{
    compare::{Comparison, Contender, Setup},
    engine::simulate,
    live::Live,
    outcome::SimulationResult,
    start_up::StartUp,
    timeline::{Extent, Slice},
    trace::{Request, Trace},
};
use crate::{clock::Nanos, ledger::Reading};

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
    /// Width of the slices of [`SimulationResult::timeline`]; `None`: none are kept.
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

/// Why an autoscaler looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its interval is over.
    Interval,
    /// A request arrived that brought the lag to its [`wake_at`](Autoscaler::wake_at).
    Crossing,
    /// A replica became ready.
    Replicas,
}

/// What an autoscaler sees when it looks.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Why it looks.
    pub cause: Cause,
    /// The ledger, as live.
    pub reading: Reading,
    /// Replicas that take requests.
    pub ready: u32,
    /// Replicas on their way.
    pub starting: u32,
    /// How long the last replica took to get ready.
    pub start_up: Option<Duration>,
    /// The most replicas there is room for.
    pub capacity: u32,
}

impl Seen {
    /// When it looks.
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.reading.at
    }

    /// Requests inside.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.reading.in_flight()
    }
}

/// Decides how many replicas there should be.
pub trait Autoscaler {
    /// Its name, as in `--policy`.
    fn name(&self) -> &str;

    /// Time between its looks.
    fn interval(&self) -> Duration;

    /// The count that should be asked for.
    fn look(&mut self, seen: &Seen) -> u32;

    /// The lag at which it wants to look at once; `None`: it waits for its
    /// interval.
    fn wake_at(&self) -> Option<u64> {
        None
    }

    /// Whether it also looks when a replica becomes ready.
    fn follows_replicas(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod robustness;
#[cfg(test)]
mod tests;

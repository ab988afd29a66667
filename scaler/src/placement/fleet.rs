//! The input of placement: bins with their room, and models with their needs.

use std::{sync::Arc, time::Duration};

use crate::clock::Nanos;

/// The input of a plan, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// Groups of bins, each with a name of its own.
    pub pools: Vec<BinPool>,
    /// The models to place, each with a name of its own.
    pub models: Vec<ModelNeed>,
}

/// Bins among which a model may be placed: the replicas of a server, or the devices of a host.
#[derive(Clone, Debug)]
pub struct BinPool {
    /// The server's or host's name.
    pub name: Arc<str>,
    /// Its present bins.
    pub bins: Vec<Bin>,
    /// The replicas of models in its bins, those that are being loaded or unloaded included.
    pub placed: Vec<Placed>,
    /// By how many percent the memory that models need together may exceed that of the pool.
    /// `None`: by any amount, and models take turns.
    pub overcommit: Option<u32>,
    /// Whether a bin takes at most one replica of a model.
    pub one_per_bin: bool,
    /// How the number of bins is scaled. `None`: it is fixed.
    pub scaling: Option<ServerScaling>,
}

/// How many replicas a server may have.
#[derive(Clone, Debug)]
pub struct ServerScaling {
    /// Smallest count.
    pub min: u32,
    /// Largest count.
    pub max: u32,
    /// The count that its orchestrator is asked for now.
    pub asked: u32,
    /// Memory for models in a bin that is added, in bytes. `None`: not counted.
    pub bin_memory: Option<u64>,
    /// Whether models are packed into fewer bins so that a replica of the server can go.
    pub packing: bool,
    /// How long `asked` has been unchanged.
    pub unchanged: Duration,
    /// How long `asked` must be unchanged before the count goes down.
    pub stability: Duration,
}

/// A place for models: a replica of a server, or a device.
#[derive(Clone, Debug)]
pub struct Bin {
    /// The replica's or device's name. No other bin of the pool has it.
    pub name: Arc<str>,
    /// Memory for models, in bytes. `None`: not counted.
    pub memory: Option<u64>,
    /// Whether the bin is to be removed. It gets no more models, and its models are placed
    /// elsewhere.
    pub leaving: bool,
    /// Whether the orchestrator was told to remove the bin, so that this cannot be revoked any
    /// more.
    pub given_up: bool,
    /// The bin's number, from 0, if the orchestrator removes the bin with the highest number
    /// first, as a StatefulSet does. `None`: the orchestrator removes the bin that is leaving.
    pub ordinal: Option<u32>,
}

/// One replica of a model, and where it is.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The model's name. It may be one that is no longer among the models.
    pub model: Arc<str>,
    /// The bins in which it takes room, by index: one, except for a model that takes several
    /// devices.
    pub bins: Vec<usize>,
    /// Memory that it takes in each of them, in bytes.
    pub memory: u64,
    /// Its state.
    pub state: PlacedState,
    /// When it entered that state.
    pub since: Nanos,
    /// Its requests in flight.
    pub in_flight: u32,
}

/// The state of a placed replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacedState {
    /// It is being loaded.
    Loading,
    /// It takes requests.
    Loaded,
    /// It takes no new requests, and goes when those in flight have ended.
    Draining,
    /// It is being unloaded, which cannot be revoked.
    Unloading,
}

impl PlacedState {
    /// As the admin address names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Loaded => "loaded",
            Self::Draining => "draining",
            Self::Unloading => "unloading",
        }
    }
}

/// A model, and what it needs.
#[derive(Clone, Debug)]
pub struct ModelNeed {
    /// Its name.
    pub name: Arc<str>,
    /// The pools that it may be placed in, by index; the best first.
    pub pools: Vec<usize>,
    /// Memory that a replica takes in each of its bins, in bytes.
    pub memory: u64,
    /// In how many bins at once a replica takes that memory; at least 1.
    pub bins: u32,
    /// How many replicas its policy wants.
    pub wanted: u32,
    /// How many of them are placed before other models' further replicas, and are evicted last. 0
    /// counts as 1.
    pub min: u32,
    /// The highest number that it may ever want.
    pub max: u32,
    /// Whether it is never evicted.
    pub pinned: bool,
    /// Whether it was admitted by an earlier plan, so that its room is promised already.
    pub admitted: bool,
    /// How many requests are held for it.
    pub held: u32,
    /// When the oldest of them was received, if there is one. While a replica serves the model it
    /// is an upper bound of the age: since when there have been held requests without a pause.
    pub held_since: Option<Nanos>,
    /// How long a request of it may be held.
    pub hold: Duration,
    /// When it last had a request.
    pub last_used: Nanos,
    /// When its last replica stopped taking requests, if it had one and has none now. Turns are
    /// fair by this time even if requests wait for longer than they may be held.
    pub out_since: Option<Nanos>,
    /// How long its last load took; `None`: it was never loaded.
    pub load_time: Option<Duration>,
    /// When loads may be tried again after failed ones.
    pub not_before: Option<Nanos>,
}

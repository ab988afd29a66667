//! What placement looks at: bins with their room, and models with what they need.

use std::{sync::Arc, time::Duration};

use crate::clock::Nanos;

/// Everything that placement is decided from, at one moment.
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
    /// What there is now.
    pub bins: Vec<Bin>,
    /// Which models have a replica in which bins, those on their way in or out included.
    pub placed: Vec<Placed>,
    /// How much more memory the models may need together than there is, in percent; `None`: any
    /// amount, and they take turns.
    pub overcommit: Option<u32>,
    /// Whether a bin takes at most one replica of a model.
    pub one_per_bin: bool,
    /// How the number of bins follows what models need; `None`: it is fixed.
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
    /// Memory that a bin to come has for models, in bytes; `None`: not counted.
    pub bin_memory: Option<u64>,
    /// Whether models are moved together so that a replica can go.
    pub packing: bool,
    /// How long `asked` has been unchanged.
    pub unchanged: Duration,
    /// How long it must be unchanged before it goes down.
    pub stability: Duration,
}

/// What capacity is counted in: a replica of a server, or a device.
#[derive(Clone, Debug)]
pub struct Bin {
    /// The replica's or device's name. No other bin of the pool has it.
    pub name: Arc<str>,
    /// Room for models, in bytes; `None`: not counted.
    pub memory: Option<u64>,
    /// Whether it is to go, so that it gets no more models and those it has are placed elsewhere.
    pub leaving: bool,
    /// Whether its orchestrator was told that it is to go, so that it cannot stay any more.
    pub given_up: bool,
    /// Its number, from 0, where the orchestrator removes the bin with the highest number first, as
    /// a StatefulSet does. `None`: it removes the one that is to go.
    pub ordinal: Option<u32>,
}

/// One replica of a model, and where it is.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The model's name. It may be one that is no longer among the models.
    pub model: Arc<str>,
    /// The bins it takes room in, by index. One, but for a model that takes several devices.
    pub bins: Vec<usize>,
    /// Memory that it takes in each of them, in bytes.
    pub memory: u64,
    /// How far it is.
    pub state: PlacedState,
    /// Since when it is in that state.
    pub since: Nanos,
    /// Its requests in flight.
    pub in_flight: u32,
}

/// How far a placed replica is.
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
    /// How many of them come before other models' further ones, and are evicted last; 0 counts
    /// as 1.
    pub min: u32,
    /// How many it may ever want.
    pub max: u32,
    /// Whether it is never evicted.
    pub pinned: bool,
    /// Whether it was placed before, so that its room is promised already.
    pub admitted: bool,
    /// How many requests are held for it.
    pub held: u32,
    /// Since when the oldest of them is held, if there is one. As long as a replica serves the model, it
    /// may be longer: since when any has been held.
    pub held_since: Option<Nanos>,
    /// How long a request of it may be held.
    pub hold: Duration,
    /// When it last had a request.
    pub last_used: Nanos,
    /// When its last replica stopped to take requests, if it had one and has none now. It is what
    /// keeps turns fair where requests wait for longer than they may be held.
    pub out_since: Option<Nanos>,
    /// How long its last load took; `None`: it was never loaded.
    pub load_time: Option<Duration>,
    /// Until when it is not loaded again, after loads that failed.
    pub not_before: Option<Nanos>,
}

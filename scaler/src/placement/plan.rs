//! What placement decides, and the sentences that say why.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use crate::clock::Nanos;

/// What is to be done now, so that models are where they should be.
///
/// All of it can be done at once: nothing in it waits for another part of the same plan. Where a
/// model needs the room of another, this plan drains that one, and a later plan loads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Replicas to load.
    pub load: Vec<Load>,
    /// Replicas that are to take no new requests and then go. One with nothing in flight can go
    /// at once; one that is loading goes when that has ended, or is stopped.
    pub drain: Vec<Drain>,
    /// Draining replicas that are to take requests again: one for each time a position is listed.
    pub resume: Vec<Position>,
    /// For each server whose count is to change: the new count.
    pub servers: BTreeMap<Arc<str>, u32>,
    /// Bins that are to go, by pool and bin: they get no more models.
    pub leave: Vec<(usize, usize)>,
    /// Bins that were to go and are needed again, by pool and bin.
    pub stay: Vec<(usize, usize)>,
    /// For each model that has fewer replicas than it wants, this plan's loads included: why.
    pub unplaced: BTreeMap<Arc<str>, Unplaced>,
    /// How many replicas each model could have that may have more than it wants.
    pub capacity: BTreeMap<Arc<str>, u32>,
    /// Models that are promised room from now on.
    pub admit: Vec<Arc<str>>,
    /// When time alone may change the plan: a residency ends, a failed load may be tried again, a
    /// model's turn comes, or a server's count may go down.
    pub again_at: Option<Nanos>,
}

impl Plan {
    /// Whether there is nothing to do but to wait.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.load.is_empty()
            && self.drain.is_empty()
            && self.resume.is_empty()
            && self.servers.is_empty()
            && self.leave.is_empty()
            && self.stay.is_empty()
            && self.admit.is_empty()
    }
}

/// Where a replica of a model is, or is to be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The model's name.
    pub model: Arc<str>,
    /// The pool, by its index in the fleet.
    pub pool: usize,
    /// The bins, by their indexes in the pool, in the order they are written or were chosen.
    pub bins: Vec<usize>,
}

/// A replica to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Where.
    pub position: Position,
    /// What for.
    pub why: Why,
}

/// A replica that is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Where it is.
    pub position: Position,
    /// Which it is: its index in the pool's [`placed`](super::BinPool::placed). Where a bin takes
    /// several replicas of a model, the position alone does not say.
    pub placed: usize,
    /// What for.
    pub why: Why,
}

/// Why a replica is loaded or drained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Load: the model has fewer replicas than it wants.
    Wanted {
        /** replicas it has */
        has: u32,
        /** replicas it wants */
        wants: u32,
    },
    /// Load: requests are held for the model.
    Held {
        /** requests held */
        held: u32,
    },
    /// Load: it takes the place of the model's replica in a bin that is to go.
    Moves,
    /// Drain: the model has more replicas than it wants.
    Surplus {
        /** replicas it wants */
        wants: u32,
    },
    /// Drain: the model is no longer configured.
    Removed,
    /// Drain: the pool is no longer one of the model's.
    OtherPool {
        /** the pool's name */
        pool: Arc<str>,
    },
    /// Drain: its bin is to go.
    Leaving {
        /** the bin's name */
        bin: Arc<str>,
    },
    /// Drain: there is more in its bin than the bin has room for.
    TooMuch {
        /** the bin's name */
        bin: Arc<str>,
    },
    /// Drain: nothing uses it, and another model needs the room.
    Evicted {
        /** the model that gets the room */
        by: Arc<str>,
    },
    /// Drain: it is in use, and it is another model's turn.
    Turn {
        /** the model whose turn it is */
        by: Arc<str>,
        /** requests held for that model */
        held: u32,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wanted { has, wants } => write!(f, "has {has} of {}", replicas(*wants)),
            Self::Held { held } => write!(f, "{} held for it", requests_are(*held)),
            Self::Moves => write!(f, "moves, because its replica's place is to go"),
            Self::Surplus { wants } => write!(f, "wants only {}", replicas(*wants)),
            Self::Removed => write!(f, "is no longer configured"),
            Self::OtherPool { pool } => write!(f, "no longer belongs on {pool}"),
            Self::Leaving { bin } => write!(f, "{bin} is to go"),
            Self::TooMuch { bin } => write!(f, "{bin} has no room for all that is there"),
            Self::Evicted { by } => write!(f, "is unused, and model {by} needs the room"),
            Self::Turn { by, held } => write!(
                f,
                "gives its room to model {by}, for which {} held",
                requests_are(*held)
            ),
        }
    }
}

/// Why a model has fewer replicas than it wants. Each displays as a phrase that follows the
/// model's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unplaced {
    /// No pool is one of the model's.
    NoPool,
    /// No bin of its pools could ever take it.
    TooLarge {
        /** bytes it needs in one bin */
        needs: u64,
        /** bins it needs at once */
        bins: u32,
        /** the pool with the largest bins */
        pool: Arc<str>,
        /** bytes the largest bin has */
        largest: u64,
        /** how many bins there are, or may be */
        of: usize,
    },
    /// What the pool may promise is promised.
    HeldBack {
        /** bytes it needs together */
        needs: u64,
        /** the pool */
        pool: Arc<str>,
        /** bytes promised to other models */
        promised: u64,
        /** bytes the pool may promise */
        limit: u64,
        /** how many percent more than it has that is */
        overcommit: u32,
    },
    /// None of its pools has a bin that takes models.
    NoBin {
        /** the pool that it prefers */
        pool: Arc<str>,
    },
    /// Its last load failed.
    Failed {
        /** until it is tried again */
        again_in: Duration,
    },
    /// Every bin that could take it has a replica of it already.
    OneEach {
        /** replicas it has */
        has: u32,
        /** replicas it wants */
        wants: u32,
    },
    /// Room is being freed for it.
    Freeing {
        /** bytes it needs in one bin */
        needs: u64,
        /** the pool */
        pool: Arc<str>,
        /** one of the bins */
        bin: Arc<str>,
    },
    /// There is no room, and it may not have another model's.
    Room {
        /** bytes it needs in one bin */
        needs: u64,
        /** the pool with the most free in one bin */
        pool: Arc<str>,
        /** bytes free there */
        free: u64,
    },
    /// It takes turns with models that are in use, or were loaded a moment ago.
    Turns {
        /** a model that has the room */
        with: Arc<str>,
        /** until the room may be taken from that model */
        until: Duration,
    },
}

impl fmt::Display for Unplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPool => write!(f, "belongs on no server and no host"),
            Self::TooLarge {
                needs,
                bins: 1,
                pool,
                largest,
                ..
            } if needs > largest => write!(
                f,
                "needs {}, and nothing of {pool} has more than {}",
                Bytes(*needs),
                Bytes(*largest)
            ),
            Self::TooLarge {
                needs,
                bins,
                pool,
                largest,
                of,
            } => write!(
                f,
                "needs {} in each of {bins} devices or replicas at once, and {pool} has {of}, of up to {}",
                Bytes(*needs),
                Bytes(*largest)
            ),
            Self::HeldBack {
                needs,
                pool,
                promised,
                limit,
                overcommit,
            } => write!(
                f,
                "needs {}, and {} of the {} that {pool} may promise (over-commit {overcommit} %) are promised to other models",
                Bytes(*needs),
                Bytes(*promised),
                Bytes(*limit)
            ),
            Self::NoBin { pool } => write!(f, "waits for a replica of {pool} that is ready"),
            Self::Failed { again_in } => {
                write!(f, "loads again in {}, after a failure", Seconds(*again_in))
            }
            Self::OneEach { has, wants } => write!(
                f,
                "has {has} of {}, and each place that could take another has one",
                replicas(*wants)
            ),
            Self::Freeing { needs, pool, bin } => write!(
                f,
                "waits for room: {} are being freed on {bin} of {pool}",
                Bytes(*needs)
            ),
            Self::Room { needs, pool, free } => write!(
                f,
                "waits for room: it needs {}, and nothing of {pool} has more than {} free",
                Bytes(*needs),
                Bytes(*free)
            ),
            Self::Turns { with, until } if until.is_zero() => {
                write!(f, "takes turns with model {with}, which has more waiting")
            }
            Self::Turns { with, until } => write!(
                f,
                "takes turns with model {with}, which keeps its room for {} at least",
                Seconds(*until)
            ),
        }
    }
}

/// Bytes as people write them.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let (mut value, mut unit) = (self.0 as f64, 0);
        while value >= 1024.0 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        // One place after the point, and none where it says nothing.
        write!(f, "{} {}", (value * 10.0).round() / 10.0, UNITS[unit])
    }
}

/// A time, rounded up to whole seconds.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs_f64().ceil())
    }
}

fn replicas(count: u32) -> String {
    match count {
        1 => "1 replica".to_owned(),
        _ => format!("{count} replicas"),
    }
}

fn requests_are(count: u32) -> String {
    match count {
        1 => "1 request is".to_owned(),
        _ => format!("{count} requests are"),
    }
}

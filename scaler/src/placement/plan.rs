//! What placement decides, and the sentences that explain it.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use crate::clock::Nanos;

/// Steps towards the placement of all models.
///
/// All steps can be carried out at once; none waits for another one of the same plan. Where a
/// model needs the room of another, this plan drains the other, and a later plan loads the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Replicas to load.
    pub load: Vec<Load>,
    /// Replicas that take no new requests and are then removed. A replica with nothing in flight
    /// can be removed at once; one that is loading when its load has ended, or the load is
    /// stopped.
    pub drain: Vec<Drain>,
    /// Draining replicas that take requests again, one for each occurrence of a position.
    pub resume: Vec<Position>,
    /// The new counts of servers whose count changes.
    pub servers: BTreeMap<Arc<str>, u32>,
    /// Bins that are to be removed, as (pool, bin): they get no more models.
    pub leave: Vec<(usize, usize)>,
    /// Bins that were to be removed and are needed again, as (pool, bin).
    pub stay: Vec<(usize, usize)>,
    /// Why models have fewer replicas than they want, with the loads of this plan counted.
    pub unplaced: BTreeMap<Arc<str>, Unplaced>,
    /// How many replicas models could have that may have more than they want.
    pub capacity: BTreeMap<Arc<str>, u32>,
    /// Models that are admitted from now on.
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
    /// The bins, by their indexes in the pool, in the order in which they are configured or were
    /// chosen.
    pub bins: Vec<usize>,
}

/// A replica to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Where to load it.
    pub position: Position,
    /// Why.
    pub why: Why,
}

/// A replica to drain and remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Where it is.
    pub position: Position,
    /// Its index in the pool's [`placed`](super::BinPool::placed). A position alone is ambiguous
    /// where a bin takes several replicas of a model.
    pub placed: usize,
    /// Why.
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
    /// Load: it replaces the model's replica in a bin that is to be removed.
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
    /// Drain: its bin is to be removed.
    Leaving {
        /** the bin's name */
        bin: Arc<str>,
    },
    /// Drain: its bin is too full.
    TooMuch {
        /** the bin's name */
        bin: Arc<str>,
    },
    /// Drain: its model is unused, and another model needs the room.
    Evicted {
        /** the model that gets the room */
        by: Arc<str>,
    },
    /// Drain: its model is in use, and it is another model's turn.
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
    /// The model may be in none of the pools.
    NoPool,
    /// It is larger than any bin of its pools can be.
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
    /// The pool's memory and over-commit are promised to other models.
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
    /// Every bin that could take it has a replica of the model already.
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
    /// There is no room, and the model may not evict any other.
    Room {
        /** bytes it needs in one bin */
        needs: u64,
        /** the pool with the most free in one bin */
        pool: Arc<str>,
        /** bytes free there */
        free: u64,
    },
    /// It takes turns with models that are in use or in their residency.
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

/// Bytes, displayed in the largest unit that fits.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let (mut value, mut unit) = (self.0 as f64, 0);
        while value >= 1024.0 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        // One decimal place; `f64` displays no `.0`.
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

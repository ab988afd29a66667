//! The overload manager: sheds load while memory is short.
//!
//! A thread reads the memory of the process every [`TICK`] and sets the [`Level`] of pressure,
//! which requests read as one relaxed atomic. At each level more is shed, in a fixed order
//! ([`shed`], pure): first what nobody misses, and last connections whose callers read nothing.
//! Code that would refuse something new reads the level. Existing idle connections and held
//! requests are registered as [`Holder`]s with their worker, which sheds them.

mod allocator;
mod level;
mod manager;
mod shed;
mod usage;
mod worker;

use std::{
    sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use metrics::{Counter, counter};
use tokio::sync::watch;

pub use self::{
    level::Level,
    manager::start,
    shed::{Holding, ShedKind},
    worker::{Holder, Registration, keep_shedding, register},
};

/// Time between two readings of the memory.
const TICK: Duration = Duration::from_millis(25);

/// The state of the process's memory, shared by all workers.
#[derive(Debug)]
pub struct Overload {
    level: AtomicU8,
    /// The memory in use, in bytes, at the last reading.
    used: AtomicU64,
    /// In bytes; 0: no limit.
    limit: u64,
    /// The process that shares the limit with this one during an upgrade; 0: none.
    partner: AtomicU32,
    /// Wakes the workers when the level changes.
    changes: watch::Sender<Level>,
    shed: [Counter; Shed::ALL.len()],
}

/// What was shed, as a label of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// An idle connection was closed.
    IdleConnection,
    /// A request was refused, because its body would have had to wait in memory.
    Body,
    /// A held request was refused.
    HeldRequest,
    /// A new connection was refused.
    Connection,
    /// A connection whose caller reads nothing was closed.
    UnreadAnswer,
}

impl Shed {
    /// All, in the order of the levels at which they begin.
    pub const ALL: [Self; 5] = [
        Self::IdleConnection,
        Self::Body,
        Self::HeldRequest,
        Self::Connection,
        Self::UnreadAnswer,
    ];

    /// The value of the label `reason`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::IdleConnection => "idle_connection",
            Self::Body => "body",
            Self::HeldRequest => "held_request",
            Self::Connection => "connection",
            Self::UnreadAnswer => "unread_answer",
        }
    }
}

impl Default for Overload {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Overload {
    /// The overload manager of a process with a limit of `limit` bytes; 0: no limit.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self {
            level: AtomicU8::new(Level::Normal as u8),
            used: AtomicU64::new(0),
            limit,
            partner: AtomicU32::new(0),
            changes: watch::Sender::new(Level::Normal),
            shed: Shed::ALL
                .map(|shed| counter!("tailback_memory_shed_total", "reason" => shed.label())),
        }
    }

    /// The present level.
    #[must_use]
    pub fn level(&self) -> Level {
        Level::from_u8(self.level.load(Ordering::Relaxed))
    }

    /// Whether the level is at least this one.
    #[must_use]
    pub fn is_at(&self, level: Level) -> bool {
        self.level.load(Ordering::Relaxed) >= level as u8
    }

    /// From now on the memory of the process `pid` counts, too: its predecessor or successor, with
    /// which it shares the limit. `None`: there is none any more.
    pub fn share_with(&self, pid: Option<u32>) {
        self.partner.store(pid.unwrap_or(0), Ordering::Relaxed);
    }

    fn partner(&self) -> Option<u32> {
        Some(self.partner.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    /// Counts something that was shed.
    pub fn count(&self, shed: Shed) {
        self.shed[shed as usize].increment(1);
    }

    /// Takes a reading: `used` bytes are in use. Returns the levels before and after.
    pub(crate) fn looked(&self, used: u64) -> (Level, Level) {
        let before = self.level();
        let level = before.next(used, self.limit);
        self.used.store(used, Ordering::Relaxed);
        if self.level.swap(level as u8, Ordering::Relaxed) != level as u8 {
            self.changes.send_replace(level);
        }
        (before, level)
    }

    /// Bytes that must be given back to leave the present level.
    fn excess(&self) -> u64 {
        let used = self.used.load(Ordering::Relaxed);
        used.saturating_sub(self.level().falls_below(self.limit))
    }
}

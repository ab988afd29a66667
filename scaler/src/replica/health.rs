//! What is known of a replica's health: the counts that requests leave on it, and what the data
//! plane and the scaler make of them.
//!
//! A request that succeeds adds one relaxed increment, and reads two words that change rarely.
//! Failures write more. All of it is on the replica itself: no request touches a line of memory
//! that it does not touch anyway to take the replica's slot.

use std::{
    fmt,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::clock::Nanos;

/// How a request at a replica failed by the replica's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It could not be connected to.
    Connect,
    /// It closed or broke its connection before its response was complete.
    Reset,
    /// It took longer than the time limits allow.
    Timeout,
    /// It answered this status of HTTP, from 500.
    Status(u16),
    /// It answered this status of gRPC, by its number.
    Grpc(u8),
}

/// Whether, and why not, a replica takes new requests; from the best to the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It takes requests.
    #[default]
    Healthy,
    /// It said that it takes none for a while: 429, or 503 with `Retry-After`.
    BackingOff,
    /// It failed more requests than other replicas.
    Ejected,
    /// It could not be connected to.
    Unreachable,
}

/// Counts of what became of a replica's requests. They only grow, but for the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HealthCounts {
    /// Failures since the last success.
    pub failures_in_a_row: u32,
    /// Requests that it was given.
    pub taken: u64,
    /// Those of them that failed by its fault.
    pub failures: u64,
}

/// The health of one replica.
#[derive(Debug, Default)]
#[repr(C)]
pub struct ReplicaHealth {
    failures_in_a_row: AtomicU32,
    taken: AtomicU64,
    failures: AtomicU64,
    /// The last [`Failure`], packed, and when it was.
    last_failure: AtomicU64,
    last_failure_at: AtomicU64,
    ejections: AtomicU64,
    standing: Mutex<(Standing, Nanos)>,
}

impl ReplicaHealth {
    /// It was given a request.
    pub(super) fn took(&self) {
        self.taken.fetch_add(1, Relaxed);
    }

    /// It answered a request as it should.
    pub fn succeeded(&self) {
        // Read first: a write takes the line of memory from the other workers.
        if self.failures_in_a_row.load(Relaxed) != 0 {
            self.failures_in_a_row.store(0, Relaxed);
        }
    }

    /// It failed a request. Returns how many it has failed in a row.
    pub fn failed(&self, failure: Failure, now: Nanos) -> u32 {
        self.failures.fetch_add(1, Relaxed);
        self.last_failure.store(failure.pack(), Relaxed);
        self.last_failure_at.store(now.0, Relaxed);
        self.failures_in_a_row
            .fetch_add(1, Relaxed)
            .saturating_add(1)
    }

    /// Makes `failures` the number that it has failed in a row.
    pub fn set_failures_in_a_row(&self, failures: u32) {
        self.failures_in_a_row.store(failures, Relaxed);
    }

    /// The counts. They may be of slightly different moments.
    #[must_use]
    pub fn counts(&self) -> HealthCounts {
        HealthCounts {
            failures_in_a_row: self.failures_in_a_row.load(Relaxed),
            taken: self.taken.load(Relaxed),
            failures: self.failures.load(Relaxed),
        }
    }

    /// The last failure, and how long ago it was.
    #[must_use]
    pub fn last_failure(&self, now: Nanos) -> Option<(Failure, Duration)> {
        let failure = Failure::unpack(self.last_failure.load(Relaxed))?;
        Some((
            failure,
            now.since(Nanos(self.last_failure_at.load(Relaxed))),
        ))
    }

    /// How often it was ejected.
    #[must_use]
    pub fn ejections(&self) -> u64 {
        self.ejections.load(Relaxed)
    }

    /// Counts an ejection.
    pub fn count_ejection(&self) {
        self.ejections.fetch_add(1, Relaxed);
    }

    /// Whether it takes new requests, and since when that is so.
    #[must_use]
    pub fn standing(&self) -> (Standing, Nanos) {
        *self.lock()
    }

    /// Says whether it takes new requests. Returns what was said before, if that differs.
    pub fn set_standing(&self, standing: Standing, now: Nanos) -> Option<Standing> {
        let mut present = self.lock();
        if present.0 == standing {
            return None;
        }
        Some(std::mem::replace(&mut *present, (standing, now)).0)
    }

    fn lock(&self) -> MutexGuard<'_, (Standing, Nanos)> {
        // Plain data: whole even if a writer panicked.
        self.standing.lock().unwrap_or_else(|e| e.into_inner())
    }
}

// === impl Failure ===

impl Failure {
    fn pack(self) -> u64 {
        let (kind, code) = match self {
            Self::Connect => (1, 0),
            Self::Reset => (2, 0),
            Self::Timeout => (3, 0),
            Self::Status(status) => (4, status),
            Self::Grpc(code) => (5, u16::from(code)),
        };
        kind << 16 | u64::from(code)
    }

    fn unpack(packed: u64) -> Option<Self> {
        let code = packed as u16;
        match packed >> 16 {
            1 => Some(Self::Connect),
            2 => Some(Self::Reset),
            3 => Some(Self::Timeout),
            4 => Some(Self::Status(code)),
            5 => Some(Self::Grpc(code as u8)),
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("cannot be connected to"),
            Self::Reset => f.write_str("broke off its connection"),
            Self::Timeout => f.write_str("took longer than its time limit"),
            Self::Status(status) => write!(f, "answered {status}"),
            Self::Grpc(code) => write!(f, "answered gRPC status {code}"),
        }
    }
}

// === impl Standing ===

impl Standing {
    /// As `/models` has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::BackingOff => "backingOff",
            Self::Ejected => "ejected",
            Self::Unreachable => "unreachable",
        }
    }
}

#[cfg(all(test, not(tailback_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_success_ends_a_row_of_failures_and_the_last_failure_stays_known() {
        let health = ReplicaHealth::default();
        assert_eq!(health.last_failure(Nanos(1)), None);
        for (n, failure) in [
            Failure::Connect,
            Failure::Reset,
            Failure::Timeout,
            Failure::Status(503),
            Failure::Grpc(13),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(health.failed(failure, Nanos(5)), n as u32 + 1);
            let ago = Duration::from_nanos(2);
            assert_eq!(health.last_failure(Nanos(7)), Some((failure, ago)));
        }
        health.succeeded();
        let counts = health.counts();
        assert_eq!((counts.failures_in_a_row, counts.failures), (0, 5));
    }
}

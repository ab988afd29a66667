//! A replica's health: the counts that requests leave on it, and the standing that the data plane
//! derives from them.
//!
//! A successful request costs one relaxed increment and reads of two words that change rarely.
//! Failures write more. All of it is on the replica itself: a request touches no cache line that it
//! does not touch anyway to take the replica's slot.

use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::clock::Nanos;

/// How a replica failed a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be opened.
    Connect,
    /// The connection closed or broke before the response was complete.
    Reset,
    /// A time limit has passed.
    Timeout,
    /// This HTTP status, 500 or above.
    Status(u16),
    /// This gRPC status, by its number.
    Grpc(u8),
}

/// Whether a replica takes new requests, or why not; from best to worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It takes requests.
    #[default]
    Healthy,
    /// It asked for a pause: 429, or 503 with `Retry-After`.
    BackingOff,
    /// It failed more requests than other replicas.
    Ejected,
    /// No connection could be opened.
    Unreachable,
    /// Its health checks fail.
    Unhealthy,
    /// It accepts connections, but sends nothing and does not answer probes. It gets no requests,
    /// even if no other replica does.
    Hung,
}

/// What the scaler has found by watching a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthReport {
    /// It is healthy again.
    Fine,
    /// Its health checks fail, with this result last.
    Unhealthy(String),
    /// It has requests in flight, has sent no byte for this time, and shows no sign of life.
    Hung(Duration),
    /// It shows signs of life, but has answered none of its requests for this time.
    Stalled(Duration),
}

/// Counts of a replica's requests. All but the first only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HealthCounts {
    /// Failures since the last success.
    pub failures_in_a_row: u32,
    /// Requests sent to it.
    pub taken: u64,
    /// Requests that it failed.
    pub failures: u64,
}

/// The health of one replica.
#[derive(Debug, Default)]
#[repr(C)]
pub struct ReplicaHealth {
    failures_in_a_row: AtomicU32,
    /// Whether a byte of a response has come since the scaler last observed it.
    responded: AtomicBool,
    taken: AtomicU64,
    failures: AtomicU64,
    /// The last [`Failure`], packed, and its time.
    last_failure: AtomicU64,
    last_failure_at: AtomicU64,
    ejections: AtomicU64,
    standing: Mutex<(Standing, Nanos)>,
    /// The result of the last health check, if there was one.
    last_probe: Mutex<Option<Result<(), String>>>,
    is_condemned: AtomicBool,
    start_up: OnceLock<Duration>,
}

impl ReplicaHealth {
    /// A request was sent to the replica.
    pub(super) fn took(&self) {
        self.taken.fetch_add(1, Relaxed);
    }

    /// A byte of a response came.
    pub fn responded(&self) {
        if !self.responded.load(Relaxed) {
            self.responded.store(true, Relaxed);
        }
    }

    /// Whether a byte of a response came since the last call.
    #[cfg(not(tailback_loom))]
    pub(crate) fn take_responded(&self) -> bool {
        self.responded.load(Relaxed) && self.responded.swap(false, Relaxed)
    }

    /// Decides that it must be stopped and replaced, whatever it has in flight.
    pub fn condemn(&self) {
        self.is_condemned.store(true, Relaxed);
    }

    /// Revokes [`condemn`](Self::condemn), if the replica has not been stopped yet.
    pub fn pardon(&self) {
        self.is_condemned.store(false, Relaxed);
    }

    /// Whether it must be stopped and replaced.
    #[must_use]
    pub fn is_condemned(&self) -> bool {
        self.is_condemned.load(Relaxed)
    }

    /// Notes how long it took to become ready, unless that is known already.
    pub fn set_start_up(&self, took: Duration) {
        let _ = self.start_up.set(took);
    }

    /// How long it took to become ready; `None`: not measured.
    #[must_use]
    pub fn start_up(&self) -> Option<Duration> {
        self.start_up.get().copied()
    }

    /// Notes the result of a health check.
    pub fn set_last_probe(&self, result: Result<(), String>) {
        *self.last_probe.lock().unwrap_or_else(|e| e.into_inner()) = Some(result);
    }

    /// The result of the last health check; `None`: there was none.
    #[must_use]
    pub fn last_probe(&self) -> Option<Result<(), String>> {
        let last = self.last_probe.lock();
        last.unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// The replica answered a request correctly.
    pub fn succeeded(&self) {
        // Read first: a write would take the cache line from other workers.
        if self.failures_in_a_row.load(Relaxed) != 0 {
            self.failures_in_a_row.store(0, Relaxed);
        }
    }

    /// The replica failed a request. Returns the number of failures in a row.
    pub fn failed(&self, failure: Failure, now: Nanos) -> u32 {
        self.failures.fetch_add(1, Relaxed);
        self.last_failure.store(failure.pack(), Relaxed);
        self.last_failure_at.store(now.0, Relaxed);
        self.failures_in_a_row
            .fetch_add(1, Relaxed)
            .saturating_add(1)
    }

    /// Sets the number of failures in a row.
    pub fn set_failures_in_a_row(&self, failures: u32) {
        self.failures_in_a_row.store(failures, Relaxed);
    }

    /// The counts, each read at a slightly different moment.
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

    /// The number of ejections.
    #[must_use]
    pub fn ejections(&self) -> u64 {
        self.ejections.load(Relaxed)
    }

    /// Counts an ejection.
    pub fn count_ejection(&self) {
        self.ejections.fetch_add(1, Relaxed);
    }

    /// The replica's standing, and since when.
    #[must_use]
    pub fn standing(&self) -> (Standing, Nanos) {
        *self.lock()
    }

    /// Sets the standing. Returns the previous one, if it differs.
    pub fn set_standing(&self, standing: Standing, now: Nanos) -> Option<Standing> {
        let mut present = self.lock();
        if present.0 == standing {
            return None;
        }
        Some(std::mem::replace(&mut *present, (standing, now)).0)
    }

    fn lock(&self) -> MutexGuard<'_, (Standing, Nanos)> {
        // A poisoned lock is fine: the content is plain data.
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
    /// All, from best to worst.
    pub const ALL: [Self; 6] = [
        Self::Healthy,
        Self::BackingOff,
        Self::Ejected,
        Self::Unreachable,
        Self::Unhealthy,
        Self::Hung,
    ];

    /// The name in `/models`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::BackingOff => "backingOff",
            Self::Ejected => "ejected",
            Self::Unreachable => "unreachable",
            Self::Unhealthy => "unhealthy",
            Self::Hung => "hung",
        }
    }

    /// The label in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::BackingOff => "backing_off",
            other => other.as_str(),
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

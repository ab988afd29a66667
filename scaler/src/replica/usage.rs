//! What a replica uses of the host that it runs on.

use std::{sync::Mutex, time::Duration};

/// CPU time, memory and processes of a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time of all its processes since it started, also of those that have ended.
    pub cpu: Duration,
    /// Bytes of memory: what its control group is charged for, or else what is resident of its
    /// processes, where memory that several of them share counts in each.
    pub memory: u64,
    /// Its processes, without Tailback's own.
    pub processes: u32,
}

/// What a replica used when that was read last.
#[derive(Debug, Default)]
pub struct ReplicaUsage(Mutex<Option<Usage>>);

impl ReplicaUsage {
    /// Says what it uses now. CPU time does not go back, though what can be read of processes that
    /// have ended may.
    pub fn set(&self, usage: Usage) {
        let mut now = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let before = now.map_or(Duration::ZERO, |before| before.cpu);
        *now = Some(Usage {
            cpu: usage.cpu.max(before),
            ..usage
        });
    }

    /// What it used some seconds ago at most; `None`: it is not known.
    #[must_use]
    pub fn last(&self) -> Option<Usage> {
        *self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[cfg(all(test, not(tailback_loom)))]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_does_not_go_back_and_all_else_may() {
        let usage = ReplicaUsage::default();
        assert_eq!(usage.last(), None);
        let reading = |cpu, memory| Usage {
            cpu: Duration::from_secs(cpu),
            memory,
            processes: 1,
        };
        usage.set(reading(5, 7));
        usage.set(reading(4, 3));
        assert_eq!(usage.last(), Some(reading(5, 3)));
    }
}

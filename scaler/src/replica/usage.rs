//! The resources that a replica uses.

use std::{sync::Mutex, time::Duration};

/// CPU time, memory and processes of a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time of all its processes since it started, including ended ones.
    pub cpu: Duration,
    /// Bytes of memory: the usage of its control group, or else the sum of its processes' resident
    /// memory, in which shared memory is counted once for each process.
    pub memory: u64,
    /// Its processes, without Tailback's own.
    pub processes: u32,
}

/// A replica's last measured usage.
#[derive(Debug, Default)]
pub struct ReplicaUsage(Mutex<Option<Usage>>);

impl ReplicaUsage {
    /// Sets the usage. CPU time never decreases here, although the reading may when processes end.
    pub fn set(&self, usage: Usage) {
        let mut now = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let before = now.map_or(Duration::ZERO, |before| before.cpu);
        *now = Some(Usage {
            cpu: usage.cpu.max(before),
            ..usage
        });
    }

    /// The usage as of at most a few seconds ago; `None`: not known.
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

//! What is counted of the choice of replicas, where the strategy is `prefix` or `session`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What became of a request's affinity to some replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preference {
    /// The replica that it speaks for most was chosen.
    Met,
    /// That one was too busy, full or ejected: another was chosen.
    Spilled,
    /// It speaks for no replica.
    None,
    /// The request was held, and went to the replica that had room first.
    Held,
}

/// A model's counts.
#[derive(Debug, Default)]
pub struct AffinityCounts {
    /// Its strategy has an affinity, or had one.
    shown: AtomicBool,
    requests: [AtomicU64; Preference::ALL.len()],
    prompt_bytes: AtomicU64,
    known_bytes: AtomicU64,
}

impl Preference {
    /// All, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Met, Self::Spilled, Self::None, Self::Held];

    /// As the metrics' label has it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Met => "preferred",
            Self::Spilled => "spilled",
            Self::None => "none",
            Self::Held => "held",
        }
    }
}

impl AffinityCounts {
    /// Shows them from now on.
    pub fn show(&self) {
        self.shown.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_shown(&self) -> bool {
        self.shown.load(Ordering::Relaxed)
    }

    /// A request has got a replica.
    pub fn chosen(&self, preference: Preference) {
        self.requests[preference as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Of the `prompt` bytes that were looked at, the replica is known to have had the first
    /// `known`.
    pub fn prompt(&self, prompt: usize, known: usize) {
        self.prompt_bytes
            .fetch_add(prompt as u64, Ordering::Relaxed);
        self.known_bytes.fetch_add(known as u64, Ordering::Relaxed);
    }

    /// How many requests there were of a kind.
    #[must_use]
    pub fn requests(&self, preference: Preference) -> u64 {
        self.requests[preference as usize].load(Ordering::Relaxed)
    }

    /// Bytes of prompts that were looked at, and those of them that were known.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.prompt_bytes), of(&self.known_bytes))
    }
}

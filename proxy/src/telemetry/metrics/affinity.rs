//! Counters of affinity, for models with the strategy `prefix` or `session`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Whether a request got the replica that it prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preference {
    /// It got the replica that it prefers.
    Met,
    /// That replica was too busy, full or ejected, so another was chosen.
    Spilled,
    /// It prefers no replica.
    None,
    /// It was held, and got the first replica with room.
    Held,
}

/// The counters of a model.
#[derive(Debug, Default)]
pub struct AffinityCounts {
    /// Whether its strategy has, or had, an affinity.
    shown: AtomicBool,
    requests: [AtomicU64; Preference::ALL.len()],
    prompt_bytes: AtomicU64,
    known_bytes: AtomicU64,
}

impl Preference {
    /// All, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Met, Self::Spilled, Self::None, Self::Held];

    /// The metric label.
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
    /// Shows the counters from now on.
    pub fn show(&self) {
        self.shown.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_shown(&self) -> bool {
        self.shown.load(Ordering::Relaxed)
    }

    /// Counts a request that has got a replica.
    pub fn chosen(&self, preference: Preference) {
        self.requests[preference as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the `prompt` bytes that were compared, of which the replica is known to have the
    /// first `known`.
    pub fn prompt(&self, prompt: usize, known: usize) {
        self.prompt_bytes
            .fetch_add(prompt as u64, Ordering::Relaxed);
        self.known_bytes.fetch_add(known as u64, Ordering::Relaxed);
    }

    /// The number of requests with this preference.
    #[must_use]
    pub fn requests(&self, preference: Preference) -> u64 {
        self.requests[preference as usize].load(Ordering::Relaxed)
    }

    /// Prompt bytes that were compared, and how many of these were known.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.prompt_bytes), of(&self.known_bytes))
    }
}

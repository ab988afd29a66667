//! The room in one bin.

/// The room in a bin, in bytes.
#[derive(Default)]
pub(super) struct Room {
    /// All of it, used or not.
    pub(super) capacity: u64,
    /// Whether the bin takes no more models.
    pub(super) leaving: bool,
    /// Taken by models in the bin, in whatever state.
    pub(super) used: u64,
    /// Part of `used` that is being freed by replicas with nothing in flight.
    pub(super) going: u64,
    /// Part of `used` that is freed once requests in flight have ended.
    pub(super) slow: u64,
    /// Kept by this plan for models that wait for it.
    pub(super) reserved: u64,
    /// The loaded replicas in the bin, the least recently used first.
    pub(super) occupants: Vec<usize>,
    /// Taken by occupants that may be evicted for any model: an upper bound of the room that
    /// evictions for such a model can free.
    pub(super) idle: u64,
    /// Whether there is any replica in the bin.
    pub(super) inhabited: bool,
}

/// When room is available.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// It is free now.
    Now,
    /// Once replicas with nothing in flight are unloaded.
    Soon,
    /// Once requests in flight have ended, which may take long.
    Later,
}

impl Room {
    /// Room that is kept for waiting models beyond the room that is available: the next freed room
    /// is theirs.
    pub(super) fn owed(&self) -> u64 {
        let all = (self.capacity.saturating_add(self.going)).saturating_add(self.slow);
        self.reserved.saturating_sub(all.saturating_sub(self.used))
    }

    /// The available room, less the room that is kept for waiting models.
    pub(super) fn free(&self, when: When) -> u64 {
        let all = (self.capacity.saturating_add(self.going))
            .saturating_add(self.slow)
            .saturating_sub(self.used);
        let kept = all.saturating_sub(self.reserved);
        match when {
            When::Now => kept.min(self.capacity.saturating_sub(self.used)),
            When::Soon => kept.min(
                self.capacity
                    .saturating_add(self.going)
                    .saturating_sub(self.used),
            ),
            When::Later => kept,
        }
    }
}

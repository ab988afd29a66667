//! The room in one bin.

/// The room in a bin, in bytes.
#[derive(Default)]
pub(super) struct Room {
    /// What there is, used or not.
    pub(super) capacity: u64,
    /// Whether no more models go in.
    pub(super) leaving: bool,
    /// What everything in it takes, whatever its state.
    pub(super) used: u64,
    /// Of that, what is being freed and has nothing in flight.
    pub(super) going: u64,
    /// Of that, what is freed when requests in flight have ended.
    pub(super) slow: u64,
    /// What this plan keeps for models that wait for it.
    pub(super) reserved: u64,
    /// Loaded replicas, the least recently used first.
    pub(super) occupants: Vec<usize>,
    /// What occupants take that may go for any model which wants room: at least as much as such a
    /// model can get by evictions.
    pub(super) idle: u64,
    /// Whether anything at all is in it.
    pub(super) inhabited: bool,
}

/// When room can be had.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// It is free.
    Now,
    /// It is free as soon as what has nothing in flight is unloaded.
    Soon,
    /// It is free when requests in flight have ended, which may take long.
    Later,
}

impl Room {
    /// What is kept for others beyond the room that can be had: it is kept of what is freed next.
    pub(super) fn owed(&self) -> u64 {
        let all = (self.capacity.saturating_add(self.going)).saturating_add(self.slow);
        self.reserved.saturating_sub(all.saturating_sub(self.used))
    }

    /// The room that can be had, less what is kept for others.
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

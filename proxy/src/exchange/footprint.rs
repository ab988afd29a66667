//! The memory of a connection, as the overload manager sees it, and requests to give it up.

use std::{
    cell::{Cell, RefCell},
    task::Waker,
};

use crate::overload::{Holding, ShedKind};

/// The approximate memory that a resting connection frees by closing, in bytes.
const RESTING: u64 = 2 * 1024;
/// The approximate memory of a response that nobody reads, in bytes.
const ANSWER: u64 = 64 * 1024;
/// A caller counts as not reading if it has taken no byte in this many consecutive rounds of the
/// overload manager.
const ROUNDS: u32 = 4;

/// The memory that one connection holds.
#[derive(Debug, Default)]
pub struct Footprint {
    /// Whether it has been idle for long and rests.
    pub resting: Cell<bool>,
    /// HTTP/2 streams whose responses wait for the caller.
    blocked_streams: Cell<u32>,
    /// A number that changes when the caller takes bytes of a response.
    progress: Cell<u64>,
    /// The value of `progress` in the last round, and for how many rounds it has been the same.
    seen: Cell<(u64, u32)>,
    /// Whether the overload manager has asked it to end.
    asked: Cell<bool>,
    /// Whether it was ended because its caller reads nothing.
    is_cut: Cell<bool>,
    /// The connection's task.
    task: RefCell<Option<Waker>>,
}

/// Counts a stream as blocked or not, until it is dropped.
#[derive(Debug)]
pub struct BlockedStream<'a> {
    footprint: &'a Footprint,
    is_blocked: bool,
}

impl Footprint {
    /// The connection runs in the task that `waker` wakes.
    pub fn runs_in(&self, waker: &Waker) {
        self.task.replace(Some(waker.clone()));
    }

    /// The caller, or the socket, has taken `bytes` of a response.
    pub fn took(&self, bytes: usize) {
        self.progress
            .set(self.progress.get().wrapping_add(bytes as u64));
    }

    /// Counts a stream of HTTP/2 that may be blocked.
    pub fn stream(&self) -> BlockedStream<'_> {
        BlockedStream {
            footprint: self,
            is_blocked: false,
        }
    }

    /// Whether there are HTTP/2 streams whose responses wait for the caller.
    #[must_use]
    pub fn has_blocked_streams(&self) -> bool {
        self.blocked_streams.get() > 0
    }

    /// Whether the overload manager has asked it to end. Returns `true` once.
    #[must_use]
    pub fn take_asked(&self) -> bool {
        self.asked.take()
    }

    /// Notes that it is ended because its caller reads nothing.
    pub fn cut(&self) {
        self.is_cut.set(true);
    }

    /// Whether it was ended because its caller reads nothing.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut.get()
    }

    /// See [`Holder::holding`](crate::overload::Holder::holding).
    ///
    /// `acknowledged` is the number of bytes that have reached the caller's host, if known. It is
    /// finer than what the socket has accepted.
    pub(super) fn holding(
        &self,
        is_blocked: bool,
        acknowledged: Option<u64>,
        number: u64,
    ) -> Option<Holding> {
        let (seen, rounds) = self.seen.get();
        let progress = self.progress.get().wrapping_add(acknowledged.unwrap_or(0));
        let rounds = match is_blocked && seen == progress {
            true => rounds.saturating_add(1),
            false => 0,
        };
        self.seen.set((progress, rounds));
        let (kind, bytes) = if self.resting.get() {
            (ShedKind::Idle, RESTING)
        } else if rounds >= ROUNDS {
            let answers = u64::from(self.blocked_streams.get().max(1));
            (ShedKind::Unread, answers * ANSWER)
        } else {
            return None;
        };
        Some(Holding {
            kind,
            bytes,
            number,
        })
    }

    /// See [`Holder::shed`](crate::overload::Holder::shed).
    pub(super) fn shed(&self) {
        self.asked.set(true);
        self.wake();
    }

    /// Wakes the connection's task, so that it checks its state.
    pub(super) fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }
}

impl BlockedStream<'_> {
    /// Sets whether it is blocked.
    pub fn set(&mut self, is_blocked: bool) {
        if is_blocked != self.is_blocked {
            self.is_blocked = is_blocked;
            let all = self.footprint.blocked_streams.get();
            self.footprint.blocked_streams.set(match is_blocked {
                true => all + 1,
                false => all - 1,
            });
        }
    }
}

impl Drop for BlockedStream<'_> {
    fn drop(&mut self) {
        self.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_reads_nothing_that_takes_no_byte_for_four_rounds() {
        let footprint = Footprint::default();
        let kind = |is_blocked| {
            footprint
                .holding(is_blocked, None, 0)
                .map(|holding| holding.kind)
        };
        assert_eq!([kind(true), kind(true)], [None, None]);
        footprint.took(1);
        assert_eq!([kind(true), kind(true), kind(true), kind(true)], [None; 4]);
        assert_eq!(kind(true), Some(ShedKind::Unread));
        assert_eq!([kind(false), kind(true)], [None, None]);
        footprint.resting.set(true);
        assert_eq!(kind(false), Some(ShedKind::Idle));
    }

    #[test]
    fn a_caller_reads_whose_host_acknowledges_more_though_its_socket_takes_nothing() {
        let footprint = Footprint::default();
        for bytes in [0, 1_400, 2_800, 2_800, 2_800, 2_800, 4_200, 4_200] {
            assert_eq!(footprint.holding(true, Some(bytes), 0), None);
        }
        let last = (0..3).map(|_| footprint.holding(true, Some(4_200), 0));
        assert!(last.last().flatten().is_some());
    }

    #[test]
    fn a_connection_holds_as_much_as_it_has_blocked_streams() {
        let footprint = Footprint::default();
        let mut streams: Vec<_> = (0..3).map(|_| footprint.stream()).collect();
        streams.iter_mut().for_each(|stream| stream.set(true));
        let bytes = || {
            (0..5)
                .filter_map(|_| footprint.holding(true, None, 0))
                .last()
                .unwrap()
                .bytes
        };
        assert_eq!(bytes(), 3 * ANSWER);
        streams[0].set(false);
        drop(streams.pop());
        assert_eq!(bytes(), ANSWER);
        drop(streams);
        assert!(!footprint.has_blocked_streams());
    }
}

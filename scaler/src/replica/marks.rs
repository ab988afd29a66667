//! What has happened to a replica, or is to happen, that its orchestrator and others tell each other.

use super::Replica;
use crate::sync::{AtomicU32, Ordering};

/// Its requests were cut.
const CUT: u32 = 1;
/// Its process has ended.
const ENDED: u32 = 2;
/// An operator wants another one in its place.
const RESTARTING: u32 = 4;
/// It is to go as soon as the models that it hosts are elsewhere.
const VACATING: u32 = 8;
/// They are.
const VACATED: u32 = 16;

/// The marks of one replica.
#[derive(Debug)]
pub(super) struct Marks(AtomicU32);

impl Marks {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    fn set(&self, marks: u32) {
        self.0.fetch_or(marks, Ordering::AcqRel);
    }

    fn has(&self, mark: u32) -> bool {
        self.0.load(Ordering::Acquire) & mark != 0
    }
}

impl Replica {
    /// Marks its requests in flight as cut: the time to finish them is over.
    pub fn cut(&self) {
        self.marks.set(CUT);
    }

    /// Whether its requests were [cut](Self::cut), so that a broken connection is no fault of the
    /// replica.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.marks.has(CUT) || self.host.as_ref().is_some_and(|host| host.is_cut())
    }

    /// Notes that its process has ended, so that it takes no room any more.
    pub fn end(&self) {
        self.marks.set(ENDED);
    }

    /// Whether its process has ended. Only what runs processes says so.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.marks.has(ENDED)
    }

    /// Notes that an operator wants another one in its place.
    pub fn mark_restarting(&self) {
        self.marks.set(RESTARTING);
    }

    /// Whether another one is to take its place.
    #[must_use]
    pub fn is_restarting(&self) -> bool {
        self.marks.has(RESTARTING)
    }

    /// Asks that the models which it hosts are placed elsewhere, because another one is there in its
    /// place.
    pub fn vacate(&self) {
        self.marks.set(VACATING);
    }

    /// Whether its models are to be placed elsewhere.
    #[must_use]
    pub fn is_vacating(&self) -> bool {
        self.marks.has(VACATING)
    }

    /// Notes that none of the models that it hosts needs it any more: it may go, if it still is to.
    pub fn mark_vacated(&self) {
        let is_to_go = |marks: u32| (marks & VACATING != 0).then_some(marks | VACATED);
        let marks = &self.marks.0;
        // Fails if it is kept.
        let _ = marks.fetch_update(Ordering::AcqRel, Ordering::Acquire, is_to_go);
    }

    /// Whether none of its models needs it any more.
    #[must_use]
    pub fn is_vacated(&self) -> bool {
        self.marks.has(VACATED)
    }

    /// Takes back that it is to [be vacated](Self::vacate).
    pub fn keep(&self) {
        let marks = &self.marks.0;
        marks.fetch_and(!(VACATING | VACATED), Ordering::AcqRel);
    }
}

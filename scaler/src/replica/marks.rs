//! Flags by which a replica's orchestrator and others tell each other what has happened, or is to
//! happen, to it.

use super::Replica;
use crate::sync::{AtomicU32, Ordering};

/// Its requests in flight were aborted.
const CUT: u32 = 1;
/// Its process has ended.
const ENDED: u32 = 2;
/// An operator has asked for its replacement.
const RESTARTING: u32 = 4;
/// It is to be removed once the models that it hosts are served elsewhere.
const VACATING: u32 = 8;
/// The models that it hosts are served elsewhere.
const VACATED: u32 = 16;

/// The flags of one replica.
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
    /// Notes that its requests in flight were aborted, because their time to finish was over.
    pub fn cut(&self) {
        self.marks.set(CUT);
    }

    /// Whether its requests were [aborted](Self::cut), so that a broken connection is not the
    /// replica's fault.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.marks.has(CUT) || self.host.as_ref().is_some_and(|host| host.is_cut())
    }

    /// Notes that its process has ended, so that it takes no room any more.
    pub fn end(&self) {
        self.marks.set(ENDED);
    }

    /// Whether its process has ended. Only the process orchestrator sets this.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.marks.has(ENDED)
    }

    /// Notes that an operator has asked for its replacement.
    pub fn mark_restarting(&self) {
        self.marks.set(RESTARTING);
    }

    /// Whether an operator has asked for its replacement.
    #[must_use]
    pub fn is_restarting(&self) -> bool {
        self.marks.has(RESTARTING)
    }

    /// Asks for its models to be placed elsewhere, because its replacement is there.
    pub fn vacate(&self) {
        self.marks.set(VACATING);
    }

    /// Whether its models are to be placed elsewhere.
    #[must_use]
    pub fn is_vacating(&self) -> bool {
        self.marks.has(VACATING)
    }

    /// Notes that no model needs it any more, so that it may be removed, if that is still wanted.
    pub fn mark_vacated(&self) {
        let is_to_go = |marks: u32| (marks & VACATING != 0).then_some(marks | VACATED);
        let marks = &self.marks.0;
        // Fails if it is to be kept after all.
        let _ = marks.fetch_update(Ordering::AcqRel, Ordering::Acquire, is_to_go);
    }

    /// Whether no model needs it any more.
    #[must_use]
    pub fn is_vacated(&self) -> bool {
        self.marks.has(VACATED)
    }

    /// Revokes [`vacate`](Self::vacate).
    pub fn keep(&self) {
        let marks = &self.marks.0;
        marks.fetch_and(!(VACATING | VACATED), Ordering::AcqRel);
    }
}

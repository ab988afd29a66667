//! Room in memory for what has been read of held requests' bodies, of all
//! models together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// So many bytes.
#[derive(Debug)]
pub struct Room {
    most: usize,
    taken: AtomicUsize,
}

/// A part of it. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropping it gives it back"]
pub struct Part<'a> {
    room: &'a Room,
    bytes: usize,
}

impl Room {
    /// Room for `most` bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            taken: AtomicUsize::new(0),
        }
    }

    /// A part of `bytes`, if there is as much left.
    #[must_use]
    pub fn take(&self, bytes: usize) -> Option<Part<'_>> {
        let before = self.taken.fetch_add(bytes, Ordering::Relaxed);
        let part = Part { room: self, bytes };
        (bytes == 0 || before.saturating_add(bytes) <= self.most).then_some(part)
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_out_no_more_than_there_is_and_takes_back_what_was_given() {
        let room = Room::new(10);
        let six = room.take(6).unwrap();
        assert!(room.take(5).is_none());
        let four = room.take(4).unwrap();
        assert!(room.take(1).is_none());
        assert!(room.take(0).is_some(), "who has nothing needs no room");
        drop((six, four));
        assert!(room.take(10).is_some());
        assert!(room.take(usize::MAX).is_none());
    }
}

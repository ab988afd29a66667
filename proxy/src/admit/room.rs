//! Room in memory for what has been read of bodies of requests that wait, for
//! more of the body or for a replica, of all models together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// So many bytes.
#[derive(Debug)]
pub struct Room {
    most: usize,
    taken: AtomicUsize,
}

/// A part of it: nothing at first. Dropping it gives it back.
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

    /// A part of no bytes, which costs nothing.
    pub fn part(&self) -> Part<'_> {
        Part {
            room: self,
            bytes: 0,
        }
    }
}

impl Part<'_> {
    /// Makes it at least `bytes` large; whether there is as much left.
    #[must_use]
    pub fn cover(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return true;
        }
        let before = self.room.taken.fetch_add(more, Ordering::Relaxed);
        let fits = before.saturating_add(more) <= self.room.most;
        if fits {
            self.bytes = bytes;
        } else {
            self.room.taken.fetch_sub(more, Ordering::Relaxed);
        }
        fits
    }

    /// Gives it back: the request does not wait any more.
    pub fn clear(&mut self) {
        if self.bytes > 0 {
            self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
            self.bytes = 0;
        }
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_out_no_more_than_there_is_and_takes_back_what_was_given() {
        let room = Room::new(10);
        let mut one = room.part();
        assert!(one.cover(4) && one.cover(6));
        let mut other = room.part();
        assert!(!other.cover(5));
        assert!(other.cover(4), "what was refused is not taken");
        assert!(one.cover(3) && !one.cover(7));
        assert!(room.part().cover(0), "who has nothing needs no room");
        drop(one);
        assert!(other.cover(10));
        other.clear();
        assert!(!room.part().cover(usize::MAX));
        assert!(room.part().cover(10));
    }
}

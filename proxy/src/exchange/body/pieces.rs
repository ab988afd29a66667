//! Buffered pieces of a body.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Pieces smaller than this, in bytes, are copied together. A piece keeps the whole buffer into
/// which it was read, up to 16 KiB; 30,000 chunks of one byte would keep 30,000 buffers.
const SMALL: usize = 4 * 1024;

/// Pieces in order. The first one is never copied, because most bodies have only one.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    whole: VecDeque<Bytes>,
    /// The last piece, to which small pieces are appended.
    growing: BytesMut,
    bytes: usize,
}

impl Pieces {
    pub(super) fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        if piece.len() < SMALL && self.bytes > piece.len() {
            self.growing.extend_from_slice(&piece);
        } else {
            self.seal();
            self.whole.push_back(piece);
        }
    }

    /// Takes the first piece.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        if self.whole.is_empty() {
            self.seal();
        }
        let piece = self.whole.pop_front()?;
        self.bytes -= piece.len();
        Some(piece)
    }

    /// Inserts `before` at the front.
    pub(super) fn prepend(&mut self, mut before: Self) {
        before.seal();
        self.bytes += before.bytes;
        before.whole.append(&mut self.whole);
        self.whole = before.whole;
    }

    /// Lets `change` edit the pieces.
    pub(super) fn edit<T>(&mut self, change: impl FnOnce(&mut VecDeque<Bytes>) -> T) -> T {
        self.seal();
        let changed = change(&mut self.whole);
        self.bytes = self.whole.iter().map(Bytes::len).sum();
        changed
    }

    /// All pieces as one.
    pub(super) fn concat(mut self) -> Bytes {
        if self.whole.is_empty() {
            return self.growing.freeze();
        }
        self.seal();
        if self.whole.len() == 1 {
            return self.whole.pop_front().unwrap_or_default();
        }
        let mut all = BytesMut::with_capacity(self.bytes);
        for piece in &self.whole {
            all.extend_from_slice(piece);
        }
        all.freeze()
    }

    /// A copy of the first `most` bytes.
    pub(super) fn start(&self, most: usize) -> Bytes {
        let pieces = self.whole.iter().map(|piece| &piece[..]);
        let mut start = BytesMut::with_capacity(most.min(self.bytes));
        for piece in pieces.chain([&self.growing[..]]) {
            start.extend_from_slice(&piece[..piece.len().min(most - start.len())]);
        }
        start.freeze()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    fn seal(&mut self) {
        if !self.growing.is_empty() {
            self.whole
                .push_back(std::mem::take(&mut self.growing).freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_pieces_share_a_buffer_and_large_ones_are_kept_as_they_are() {
        let mut pieces = Pieces::default();
        let large = Bytes::from(vec![7; SMALL]);
        for _ in 0..30_000 {
            pieces.push(Bytes::from_static(b"x"));
        }
        pieces.push(large.clone());
        pieces.push(Bytes::from_static(b"y"));
        assert_eq!(pieces.bytes(), 30_001 + SMALL);
        assert_eq!(pieces.pop().unwrap().len(), 1);
        assert_eq!(pieces.pop().unwrap().len(), 29_999);
        assert_eq!(pieces.pop().unwrap().as_ptr(), large.as_ptr());
        assert_eq!(&pieces.concat()[..], b"y");
    }

    proptest! {
        #[test]
        fn bytes_keep_their_number_and_order(
            before in proptest::collection::vec(1usize..6000, 0..6),
            after in proptest::collection::vec(1usize..6000, 0..6),
            taken in 0usize..4,
        ) {
            let (mut expected, mut next) = (Vec::new(), 0u8);
            let mut filled = |lengths: &[usize]| {
                let mut pieces = Pieces::default();
                for &length in lengths {
                    let piece: Vec<u8> = (0..length).map(|_| { next = next.wrapping_add(1); next }).collect();
                    expected.extend_from_slice(&piece);
                    pieces.push(piece.into());
                }
                pieces
            };
            let first = filled(&before);
            let mut pieces = filled(&after);
            pieces.prepend(first);
            prop_assert_eq!(pieces.bytes(), expected.len());
            let mut found = Vec::new();
            for _ in 0..taken {
                found.extend(pieces.pop().unwrap_or_default());
            }
            pieces.edit(|all| all.make_contiguous().len());
            found.extend(pieces.concat());
            prop_assert_eq!(found, expected);
        }
    }
}

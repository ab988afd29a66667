//! How many bytes of a message are read at a time.

/// The size of the first reads.
pub(super) const SMALL: usize = 16 * 1024;
/// The largest size, for a sender that fills smaller reads.
const MOST: usize = 256 * 1024;
/// The largest size for a message of more than [`LARGE`] bytes.
const MOST_OF_LARGE: usize = 768 * 1024;
/// After this many bytes of a message the size may grow: they are more than the kernel buffers for
/// a caller that reads nothing.
const SMALL_READS: usize = 256 * 1024;
/// After this many bytes of a message its consumer evidently reads, and larger reads cost less:
/// what TCP does for each read and each write costs about as much as copying 64 KiB.
const LARGE: usize = 4 * 1024 * 1024;

/// The size of reads of one message.
#[derive(Debug)]
pub(super) struct ReadSize {
    bytes: usize,
    /// How many bytes of the message were read.
    read: usize,
}

impl Default for ReadSize {
    fn default() -> Self {
        Self {
            bytes: SMALL,
            read: 0,
        }
    }
}

impl ReadSize {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it is the size of the thread's shared buffer.
    pub(super) fn is_small(&self) -> bool {
        self.bytes == SMALL
    }

    /// Adapts to the sender: a read returned `read` bytes, with a buffer of `room` bytes.
    pub(super) fn adapt(&mut self, read: usize, room: usize) {
        self.read = self.read.saturating_add(read);
        if read == room && (!self.is_small() || self.read >= SMALL_READS) {
            let most = if self.read < LARGE {
                MOST
            } else {
                MOST_OF_LARGE
            };
            self.bytes = (2 * self.bytes).min(most);
        } else if read < self.bytes / 4 {
            self.bytes = (self.bytes / 2).max(SMALL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size after reads of the whole size each, until `total` bytes have come.
    fn after(total: usize) -> ReadSize {
        let mut size = ReadSize::default();
        while size.read < total {
            size.adapt(size.bytes, size.bytes);
        }
        size
    }

    #[test]
    fn more_is_read_at_a_time_of_an_answer_that_its_caller_reads() {
        let sizes = [SMALL_READS - SMALL, SMALL_READS, LARGE - MOST, 2 * LARGE];
        let sizes = sizes.map(|total| after(total).bytes);
        assert_eq!(sizes, [SMALL, 2 * SMALL, MOST, MOST_OF_LARGE]);
    }

    #[test]
    fn less_is_read_at_a_time_where_less_comes() {
        let mut size = after(2 * LARGE);
        for _ in 0..8 {
            size.adapt(1, MOST_OF_LARGE);
        }
        assert!(size.is_small());
    }
}

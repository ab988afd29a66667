//! Flow control (RFC 9113, 5.2).

use super::settings::MOST_WINDOW;

/// What the peer may still send, on a stream or on the connection.
#[derive(Debug)]
pub(super) struct InboundWindow {
    /// Bytes that the peer may send.
    open: i64,
    /// Bytes that were consumed, which the peer has not been told yet.
    consumed: i64,
    /// The size of the window when everything was consumed.
    size: i64,
}

/// The peer has sent more than its window allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overrun;

impl InboundWindow {
    pub(super) fn new(size: u32) -> Self {
        Self {
            open: i64::from(size),
            consumed: 0,
            size: i64::from(size),
        }
    }

    /// `bytes` have arrived.
    pub(super) fn arrived(&mut self, bytes: usize) -> Result<(), Overrun> {
        let left = self.open - bytes as i64;
        if left < 0 {
            return Err(Overrun);
        }
        self.open = left;
        Ok(())
    }

    /// `bytes` were consumed. Returns by how many bytes the peer is to be told that its window
    /// grows: that is once they are as many as it has left. What is never consumed takes its share
    /// of the window, and the rest goes on.
    pub(super) fn consumed(&mut self, bytes: usize) -> Option<u32> {
        self.consumed += bytes as i64;
        if self.consumed == 0 || self.consumed < self.open {
            return None;
        }
        self.announce()
    }

    /// Enlarges the window. Returns by how many bytes the peer is to be told that it grows.
    pub(super) fn enlarge(&mut self, size: u32) -> Option<u32> {
        let more = i64::from(size) - self.size;
        if more <= 0 {
            return None;
        }
        self.size += more;
        self.consumed += more;
        self.announce()
    }

    fn announce(&mut self) -> Option<u32> {
        let more = std::mem::take(&mut self.consumed);
        self.open += more;
        u32::try_from(more).ok()
    }
}

/// What this side may still send, on a stream or on the connection. It may be negative after the
/// peer has made its windows smaller (RFC 9113, 6.9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutboundWindow(pub(super) i64);

impl OutboundWindow {
    pub(super) fn new(size: u32) -> Self {
        Self(i64::from(size))
    }

    /// The bytes that may be sent.
    pub(super) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.0 -= bytes as i64;
    }

    /// The peer has changed it by `bytes`.
    ///
    /// # Errors
    /// If it would exceed what a window may have.
    pub(super) fn changed(&mut self, bytes: i64) -> Result<(), Overrun> {
        self.0 += bytes;
        match self.0 > MOST_WINDOW {
            true => Err(Overrun),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_is_told_once_half_of_its_window_was_consumed() {
        let mut window = InboundWindow::new(100);
        assert_eq!(window.arrived(50), Ok(()));
        assert_eq!(window.consumed(49), None);
        assert_eq!(window.consumed(1), Some(50));
        assert_eq!(window.arrived(100), Ok(()));
        assert_eq!(window.arrived(1), Err(Overrun));
        assert_eq!(window.enlarge(90), None);
        assert_eq!(window.enlarge(150), Some(50));
        assert_eq!(window.consumed(0), None);
    }

    #[test]
    fn what_is_never_consumed_stops_nothing_else() {
        let mut window = InboundWindow::new(100);
        assert_eq!(window.arrived(90), Ok(()));
        for _ in 0..1000 {
            assert_eq!(window.arrived(10), Ok(()));
            assert_eq!(window.consumed(10), Some(10));
        }
    }

    #[test]
    fn windows_may_be_negative_and_have_a_most() {
        let mut window = OutboundWindow::new(10);
        window.sent(10);
        assert_eq!(window.changed(-5), Ok(()));
        assert_eq!((window.bytes(), window.0), (0, -5));
        assert_eq!(window.changed(MOST_WINDOW + 5), Ok(()));
        assert_eq!(window.changed(1), Err(Overrun));
    }
}

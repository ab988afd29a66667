//! Limits the rate of frames that cost work and bring nothing (RFC 9113, 10.5): PING and SETTINGS, which
//! must be acknowledged, PRIORITY, frames of unknown types, DATA without data, interim answers,
//! WINDOW_UPDATE beyond what answers need, and whatever comes for a stream that has ended.

use std::time::Duration;

use tailback_scaler::clock::Nanos;

use super::frame::{CONTINUATION, DATA, FrameHead, HEADERS, RST_STREAM, WINDOW_UPDATE};

/// Most control frames in a burst.
const AT_ONCE: u32 = 20_000;
/// Most control frames a second in the long run. gRPC clients estimate the bandwidth by a PING in
/// each round trip while data flows: some thousands a second within a machine.
const A_SECOND: u32 = 10_000;
/// WINDOW_UPDATEs that do not count: so many for each piece of a body, and one for so many of its bytes.
const UPDATES: u32 = 4;
const BYTES_OF_UPDATE: usize = 32;
const INTERVAL: Duration = Duration::from_nanos(1_000_000_000 / A_SECOND as u64);

/// The peer has sent too many control frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flood;

/// Counts the control frames of a peer.
#[derive(Debug, Default)]
pub(super) struct ControlFrames {
    /// When the next frame would be due at an even rate (generic cell rate algorithm).
    due: Nanos,
    /// How many WINDOW_UPDATEs are due for what was sent to the peer.
    updates: u32,
}

impl ControlFrames {
    /// A piece of a body of so many bytes was sent. A peer answers it with a WINDOW_UPDATE for the stream
    /// and one for the connection, or with two for whatever its reader takes at once.
    pub(super) fn sent_data(&mut self, bytes: usize) {
        let updates = UPDATES + u32::try_from(bytes / BYTES_OF_UPDATE).unwrap_or(0);
        self.updates = self.updates.saturating_add(updates);
    }

    /// Whether a WINDOW_UPDATE is due, so that it does not count.
    pub(super) fn is_due(&mut self) -> bool {
        let left = self.updates.checked_sub(1);
        self.updates = left.unwrap_or(0);
        left.is_some()
    }

    /// Counts a frame that arrived at `now`.
    pub(super) fn count(&mut self, now: Nanos) -> Result<(), Flood> {
        self.due = self.due.max(now) + INTERVAL;
        match self.due.since(now) > INTERVAL * AT_ONCE {
            true => Err(Flood),
            false => Ok(()),
        }
    }
}

/// Whether a frame counts, whatever its stream is. Acknowledgements answer frames of the proxy, but a
/// peer needs to send no more of them than of the others.
pub(super) fn is_control(frame: FrameHead) -> bool {
    match frame.kind {
        // Resets and CONTINUATION have limits of their own. Of the others, it depends on the stream.
        HEADERS | DATA | RST_STREAM | WINDOW_UPDATE | CONTINUATION => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_may_come_at_once_and_so_many_a_second() {
        let mut frames = ControlFrames::default();
        let mut now = Nanos(1_000_000_000);
        for _ in 0..AT_ONCE {
            assert_eq!(frames.count(now), Ok(()));
        }
        for _ in 0..5 * A_SECOND {
            now = now + INTERVAL;
            assert_eq!(frames.count(now), Ok(()));
        }
        assert_eq!(frames.count(now), Err(Flood));
    }
}

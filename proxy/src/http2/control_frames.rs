//! Limits the rate of frames that cost work and carry no data: PING and SETTINGS, which must be
//! acknowledged, PRIORITY, and frames of unknown types (RFC 9113, 10.5).

use std::time::Duration;

use tailback_scaler::clock::Nanos;

use super::frame::{CONTINUATION, DATA, END_STREAM, FrameHead, HEADERS, RST_STREAM, WINDOW_UPDATE};

/// Most control frames in a burst.
const AT_ONCE: u32 = 20_000;
/// Most control frames a second in the long run. gRPC clients estimate the bandwidth by a PING in
/// each round trip while data flows: some thousands a second within a machine.
const A_SECOND: u32 = 10_000;
const INTERVAL: Duration = Duration::from_nanos(1_000_000_000 / A_SECOND as u64);

/// The peer has sent too many control frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flood;

/// Counts the control frames of a peer.
#[derive(Debug, Default)]
pub(super) struct ControlFrames {
    /// When the next frame would be due at an even rate (generic cell rate algorithm).
    due: Nanos,
}

impl ControlFrames {
    /// Counts a frame that arrived at `now`.
    pub(super) fn count(&mut self, now: Nanos) -> Result<(), Flood> {
        self.due = self.due.max(now) + INTERVAL;
        match self.due.since(now) > INTERVAL * AT_ONCE {
            true => Err(Flood),
            false => Ok(()),
        }
    }
}

/// Whether a frame counts. Acknowledgements answer frames of the proxy, but a peer needs to send no
/// more of them than of the others.
pub(super) fn is_control(frame: FrameHead) -> bool {
    match frame.kind {
        // Resets and CONTINUATION have limits of their own. WINDOW_UPDATE accompanies bodies.
        HEADERS | RST_STREAM | WINDOW_UPDATE | CONTINUATION => false,
        DATA => frame.length == 0 && !frame.has(END_STREAM),
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

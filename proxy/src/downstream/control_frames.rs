//! Limits the rate of HTTP/2 frames that cost work and carry no data: PING and SETTINGS, which
//! must be acknowledged, PRIORITY, and frames of unknown types (RFC 9113, 10.5). h2 answers them
//! as fast as they arrive.

use std::time::Duration;

use tailback_scaler::clock::Nanos;

/// Length of the client connection preface (RFC 9113, 3.4), in bytes.
const PREFACE: usize = 24;
/// Length of a frame's header, in bytes.
const HEADER: usize = 9;
/// Most control frames in a burst.
const AT_ONCE: u32 = 20_000;
/// Most control frames a second in the long run. gRPC clients estimate the bandwidth by a PING in
/// each round trip while data flows: some thousands a second within a machine.
const A_SECOND: u32 = 10_000;
const INTERVAL: Duration = Duration::from_nanos(1_000_000_000 / A_SECOND as u64);

/// The caller has sent too many control frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flood;

/// Counts the control frames of a caller, by parsing frame headers.
#[derive(Debug)]
pub(super) struct ControlFrames {
    /// Bytes before the next frame's header.
    skip: usize,
    /// The header of a frame, as far as it has arrived.
    header: [u8; HEADER],
    length: usize,
    /// When the next frame would be due at an even rate (generic cell rate algorithm).
    due: Nanos,
}

impl ControlFrames {
    /// At the start of a connection.
    pub(super) fn new() -> Self {
        Self {
            skip: PREFACE,
            header: [0; HEADER],
            length: 0,
            due: Nanos(0),
        }
    }

    /// Takes the next bytes, which arrived at `now`.
    pub(super) fn received(
        &mut self,
        mut bytes: &[u8],
        now: impl FnOnce() -> Nanos,
    ) -> Result<(), Flood> {
        let mut count = 0;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (HEADER - self.length).min(bytes.len());
            self.header[self.length..][..taken].copy_from_slice(&bytes[..taken]);
            self.length += taken;
            bytes = &bytes[taken..];
            if self.length == HEADER {
                let [a, b, c, kind, ..] = self.header;
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                self.length = 0;
                count += u32::from(is_control(kind));
            }
        }
        match count {
            0 => Ok(()),
            count => self.count(count, now()),
        }
    }

    fn count(&mut self, count: u32, now: Nanos) -> Result<(), Flood> {
        self.due = self.due.max(now) + INTERVAL * count;
        match self.due.since(now) > INTERVAL * AT_ONCE {
            true => Err(Flood),
            false => Ok(()),
        }
    }
}

/// Whether frames of this type count. Acknowledgements answer frames of the proxy, but a caller
/// needs to send no more of them than of the others.
fn is_control(kind: u8) -> bool {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const WINDOW_UPDATE: u8 = 8;
    const CONTINUATION: u8 = 9;
    // h2 limits resets and CONTINUATION itself. DATA and WINDOW_UPDATE accompany bodies.
    !matches!(
        kind,
        DATA | HEADERS | RST_STREAM | WINDOW_UPDATE | CONTINUATION
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;
    const START: Nanos = Nanos(1_000_000_000);

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let mut frame = (length as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, 0, 0, 0, 0, 0]);
        frame.resize(HEADER + length, PING);
        frame
    }

    fn begun() -> ControlFrames {
        let mut frames = ControlFrames::new();
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        assert_eq!(frames.received(preface, || START), Ok(()));
        frames
    }

    #[test]
    fn frames_are_told_apart_however_they_are_cut() {
        let mut text = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for (kind, length) in [(4, 0), (1, 30), (0, 20_000), (6, 8), (8, 4), (200, 3)] {
            text.extend(frame(kind, length));
        }
        for size in [1, 7, 9, 1000, text.len()] {
            let mut frames = ControlFrames::new();
            for piece in text.chunks(size) {
                frames.received(piece, || START).unwrap();
            }
            // SETTINGS, PING, and the unknown one.
            assert_eq!(frames.due, START + INTERVAL * 3, "{size}");
            assert_eq!((frames.skip, frames.length), (0, 0));
        }
    }

    #[test]
    fn so_many_may_come_at_once_and_so_many_a_second() {
        let mut frames = begun();
        let ping = frame(PING, 8);
        let mut now = START;
        for _ in 0..AT_ONCE {
            assert_eq!(frames.received(&ping, || now), Ok(()));
        }
        for _ in 0..5 * A_SECOND {
            now = now + INTERVAL;
            assert_eq!(frames.received(&ping, || now), Ok(()));
        }
        assert_eq!(frames.received(&ping, || now), Err(Flood));
    }

    #[test]
    fn bodies_of_any_size_are_no_flood() {
        let mut frames = begun();
        let data = [frame(0, 16_384), frame(8, 4)].concat();
        for _ in 0..10 * AT_ONCE {
            let never = || unreachable!("the clock is read for control frames alone");
            assert_eq!(frames.received(&data, never), Ok(()));
        }
    }
}

//! The peer's settings (RFC 9113, 6.5).

use super::{Reason, error::ConnectionError};

/// Largest window (RFC 9113, 6.9.1).
pub(super) const MOST_WINDOW: i64 = 0x7fff_ffff;

pub(super) const ENABLE_PUSH: u16 = 0x2;
pub(super) const MAX_CONCURRENT_STREAMS: u16 = 0x3;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 0x4;
pub(super) const MAX_HEADER_LIST_SIZE: u16 = 0x6;

/// What the peer has set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerSettings {
    pub(super) header_table_size: u32,
    pub(super) streams: u32,
    pub(super) window: u32,
}

impl Default for PeerSettings {
    /// What holds before the peer's first SETTINGS.
    fn default() -> Self {
        Self {
            header_table_size: 4096,
            streams: u32::MAX,
            window: 65_535,
        }
    }
}

impl PeerSettings {
    /// These settings with those of a SETTINGS frame.
    pub(super) fn with(mut self, payload: &[u8]) -> Result<Self, ConnectionError> {
        const HEADER_TABLE_SIZE: u16 = 0x1;
        const MAX_FRAME_SIZE: u16 = 0x5;
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(ConnectionError(Reason::FRAME_SIZE_ERROR));
        }
        for &[a, b, c, d, e, f] in settings {
            let value = u32::from_be_bytes([c, d, e, f]);
            match u16::from_be_bytes([a, b]) {
                HEADER_TABLE_SIZE => self.header_table_size = value,
                MAX_CONCURRENT_STREAMS => self.streams = value,
                ENABLE_PUSH if value > 1 => return Err(ConnectionError(Reason::PROTOCOL_ERROR)),
                INITIAL_WINDOW_SIZE if i64::from(value) > MOST_WINDOW => {
                    return Err(ConnectionError(Reason::FLOW_CONTROL_ERROR));
                }
                INITIAL_WINDOW_SIZE => self.window = value,
                MAX_FRAME_SIZE if !(16_384..=0x00ff_ffff).contains(&value) => {
                    return Err(ConnectionError(Reason::PROTOCOL_ERROR));
                }
                // Frames are never larger than the least that it can set. The size of header lists
                // is advice.
                _ => {}
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(id: u16, value: u32) -> Result<PeerSettings, Reason> {
        let payload = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
        PeerSettings::default()
            .with(&payload)
            .map_err(|error| error.0)
    }

    #[test]
    fn settings_are_read_and_held_to_their_ranges() {
        assert_eq!(set(1, 100).unwrap().header_table_size, 100);
        assert_eq!(set(3, 0).unwrap().streams, 0);
        assert_eq!(set(4, 0x7fff_ffff).unwrap().window, 0x7fff_ffff);
        assert_eq!(set(4, 0x8000_0000), Err(Reason::FLOW_CONTROL_ERROR));
        assert_eq!(set(2, 2), Err(Reason::PROTOCOL_ERROR));
        assert_eq!(set(5, 16_383), Err(Reason::PROTOCOL_ERROR));
        assert_eq!(set(5, 0x0100_0000), Err(Reason::PROTOCOL_ERROR));
        assert_eq!(set(0xf0f0, 7), Ok(PeerSettings::default()));
        let cut = PeerSettings::default().with(&[0; 7]);
        assert_eq!(cut, Err(ConnectionError(Reason::FRAME_SIZE_ERROR)));
    }
}

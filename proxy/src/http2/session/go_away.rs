//! The orderly end of a connection (RFC 9113, 6.8).

use super::{Http2Session, Role};
use crate::http2::{Reason, error::Http2Error, frame};

/// The payload of the PING behind the first GOAWAY: once it is answered, the peer has read that.
const ASKED: [u8; 8] = *b"tailback";

/// How far the connection's orderly end has come.
#[derive(Debug, Default)]
pub(super) struct GoAway {
    sent: Sent,
    /// The peer opens no further stream, or takes none.
    is_received: bool,
}

/// What this side has said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sent {
    /// Nothing.
    #[default]
    Nothing,
    /// That it will go away. Streams that the peer has opened meanwhile are taken.
    Notice,
    /// Which is the last stream that is taken.
    Last(u32),
}

impl Http2Session {
    /// Ends the connection in an orderly way: it takes no further stream, and closes after the last.
    pub(in crate::http2) fn go_away(&mut self) {
        if self.ended.is_some() || self.go_away.sent != Sent::Nothing {
            return;
        }
        if self.role == Role::Client {
            return self.name_last();
        }
        self.go_away.sent = Sent::Notice;
        let out = self.output.frames();
        frame::write_go_away(out, 0x7fff_ffff, Reason::NO_ERROR);
        frame::write(out, frame::PING, 0, 0, &[&ASKED]);
        self.wake();
    }

    fn name_last(&mut self) {
        let last = self.last_peer_id;
        self.go_away.sent = Sent::Last(last);
        frame::write_go_away(self.output.frames(), last, Reason::NO_ERROR);
        self.wake();
    }

    /// The peer has answered a PING.
    pub(super) fn pong(&mut self, payload: &[u8]) {
        if self.go_away.sent == Sent::Notice && payload == ASKED {
            self.name_last();
        }
    }

    /// Whether a stream that the peer opens now is ignored: it was told that it would be.
    pub(super) fn is_ignored(&self, id: u32) -> bool {
        matches!(self.go_away.sent, Sent::Last(last) if id > last)
    }

    /// The peer will take no stream above `last`.
    pub(super) fn peer_goes_away(&mut self, last: u32, reason: Reason) {
        self.go_away.is_received = true;
        if self.role == Role::Client {
            let mut failed = Vec::new();
            for (key, stream) in self.streams.all() {
                if stream.id > last {
                    stream.fail(Http2Error::Unprocessed(reason));
                    failed.push(key);
                }
            }
            for key in failed {
                self.streams.close_if_ended(key);
            }
        }
    }

    /// Whether a stream can be opened on it, as far as the peer's number of streams allows.
    pub(in crate::http2) fn takes_streams(&self) -> bool {
        self.ended.is_none()
            && self.peer.is_some()
            && !self.go_away.is_received
            && self.go_away.sent == Sent::Nothing
            && self.next_id < 0x7fff_ffff
    }

    /// Whether nothing more will happen on it: both sides know that it closes, and its streams have
    /// ended.
    pub(in crate::http2) fn is_over(&self) -> bool {
        let no_more_come = match self.role {
            Role::Server => matches!(self.go_away.sent, Sent::Last(_)),
            Role::Client => self.go_away.sent != Sent::Nothing || self.go_away.is_received,
        };
        no_more_come && self.streams.is_empty() && self.accepted.is_empty()
    }
}

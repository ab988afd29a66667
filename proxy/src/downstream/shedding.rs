//! How a connection gives its memory back when the overload manager asks it to.

use crate::{
    exchange::Connection,
    net::HttpVersion,
    overload::{Overload, Shed},
};

/// What a connection is to do about memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shedding {
    /// Nothing.
    Nothing,
    /// End at once: its caller reads nothing of an answer.
    Cut,
    /// Close, since it is idle.
    Close,
}

impl Shedding {
    /// What `connection` is asked for, which is counted. It is asked once.
    pub(super) fn of(connection: &Connection, overload: &Overload) -> Self {
        let footprint = &connection.footprint;
        if !footprint.take_asked() {
            return Self::Nothing;
        }
        if connection.is_blocked() {
            overload.count(Shed::UnreadAnswer);
            footprint.cut();
            return Self::Cut;
        }
        // A caller by HTTP/2 has been told already (GOAWAY).
        let is_told = connection.version == HttpVersion::Http2 && connection.is_closing();
        if footprint.resting.get() && !is_told {
            overload.count(Shed::IdleConnection);
            return Self::Close;
        }
        Self::Nothing
    }
}

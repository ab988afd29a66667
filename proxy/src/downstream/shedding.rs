//! How a connection frees memory when the overload manager asks for it.

use crate::{
    exchange::Connection,
    net::HttpVersion,
    overload::{Overload, Shed},
};

/// What a connection must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shedding {
    /// Nothing.
    Nothing,
    /// End at once, because its caller does not read its answer.
    Cut,
    /// Close, because it is idle.
    Close,
}

impl Shedding {
    /// What the overload manager asks of `connection`. It asks once, and counts that.
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
        // A caller by HTTP/2 was told already, by GOAWAY.
        let is_told = connection.version == HttpVersion::Http2 && connection.is_closing();
        if footprint.resting.get() && !is_told {
            overload.count(Shed::IdleConnection);
            return Self::Close;
        }
        Self::Nothing
    }
}

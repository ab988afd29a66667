//! HTTP/2 (RFC 9113) towards callers and towards replicas.
//!
//! A connection and its streams live on one thread, so that a request takes no lock and counts no
//! shared references. What is decided is separate from input and output:
//!
//! - `session` is the state of a connection: frames go in, frames come out;
//! - `streams` and `window` are the states of streams and their flow control;
//! - [`hpack`] compresses headers, `fields` makes messages of them, `frame` and `settings` are the
//!   frames;
//! - `driver` moves bytes between a connection and its session, `output` has those to be written;
//! - [`Http2Server`] accepts requests, [`Http2Client`] and [`Http2Sender`] send them; a stream's
//!   directions are [`ReceiveStream`] and [`SendStream`].

mod client;
mod control_frames;
mod driver;
mod error;
mod fields;
mod frame;
mod handles;
pub mod hpack;
mod output;
mod reason;
mod server;
mod session;
mod settings;
mod streams;
mod window;

pub use self::{
    client::{Http2Client, Http2RequestHead, Http2Sender, PendingResponse},
    error::Http2Error,
    handles::{ReceiveStream, SendStream},
    reason::Reason,
    server::Http2Server,
    session::Http2Limits,
};

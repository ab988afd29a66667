//! HTTP/1.1 on both sides (RFC 9112): of callers, and towards replicas.
//!
//! A connection has no task of its own: whoever waits for a message drives it, from the task of the
//! request. So a request costs no channel and no task switch. What is pure stands apart from the
//! bytes' way:
//!
//! - [`server`] reads requests and writes responses, [`client`] the other way round;
//! - [`decoder`] takes the framing off a body, and `encoding` puts it on;
//! - `field_lines` reads the fields of a head;
//! - [`Http1Body`] is what a connection has read of a body, for whoever asks;
//! - `outbox` is what is about to be written, `read_size` how much is read at a time.
//!
//! Both sides read as strictly as hyper does: property tests give the same bytes to both.

mod body;
pub mod client;
pub mod decoder;
mod encoding;
mod field_lines;
mod input;
mod outbox;
mod read_size;
pub mod server;
mod tokens;

pub use self::body::{Http1Body, Http1BodyError};

//! HTTP/1.1 (RFC 9112) towards callers and towards replicas.
//!
//! A connection has no task of its own: the task of the request drives it. So a request costs no
//! channel and no task switch. Parsing and formatting are separate from input and output:
//!
//! - [`server`] reads requests and writes responses, [`client`] writes requests and reads answers;
//! - [`decoder`] decodes the framing of a body, and `encoding` writes it;
//! - `header_reader` finds the parts of a header, and `usual_names` the names of its fields;
//! - [`Http1Body`] is the body that a connection reads, for its consumer;
//! - `outbox` has the bytes to be written, and `read_size` decides how much is read at a time.
//!
//! Both sides read as strictly as hyper does: property tests give the same bytes to both.

mod body;
pub mod client;
pub mod decoder;
mod encoding;
mod header_reader;
mod input;
mod outbox;
mod read_size;
mod scan;
pub mod server;
mod tokens;
mod usual_names;

pub use self::body::{Http1Body, Http1BodyError};

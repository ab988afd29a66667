//! HTTP/1.1 as a client, towards replicas (RFC 9112).
//!
//! One connection serves one request at a time, and has no task of its own: whoever waits for the
//! answer drives it, from the request's own task. So a request costs no channel, no waker and no
//! task switch beside it. What is pure stands apart from the bytes' way:
//!
//! - [`RequestHead`] and `request` write a request's head and frame its body;
//! - [`response`] reads an answer's head, and `framing` how its body ends;
//! - [`decoder`] takes a body's framing off;
//! - [`Http1ResponseBody`] is what the connection has read of a body, for whoever asks;
//! - [`Http1Connection`] is all of this around the bytes of a connection.
//!
//! Answers are read as strictly as hyper reads them: a property test compares both.

mod connection;
pub mod decoder;
mod framing;
mod outbox;
mod read_size;
mod request;
pub mod response;
mod response_body;
#[cfg(test)]
mod tests;

pub use self::{
    connection::{Http1Connection, ResponseError},
    read_size::LARGE,
    request::RequestHead,
    response_body::{Http1ResponseBody, ResponseBodyError},
};

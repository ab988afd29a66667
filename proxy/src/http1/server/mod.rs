//! HTTP/1.1 towards callers.
//!
//! One connection answers one request after the other: [`request`] reads a request's head,
//! `response` writes the answer's, and `writer`
//! sends it. [`ServerConnection`] is all of this around the bytes of a
//! connection.

mod connection;
pub mod request;
mod response;
#[cfg(test)]
mod tests;
mod writer;

pub use self::{
    connection::{Read, ServerConnection, ServerLimits},
    request::RequestHeadError,
    writer::DeliveryError,
};

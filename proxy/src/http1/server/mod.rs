//! HTTP/1.1 towards callers.
//!
//! A connection answers one request after the other. [`request`] reads the header of a request,
//! `response` writes the header of the response, and `writer` sends it with its body.
//! [`ServerConnection`] puts these together on a byte stream.

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

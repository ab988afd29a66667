//! HTTP/1.1 towards replicas.
//!
//! A connection serves one request at a time. `request` writes a [`RequestHead`], [`response`]
//! reads the header of the answer, and `framing` determines how its body ends. [`Http1Connection`]
//! puts these together on a byte stream.

mod connection;
mod framing;
mod request;
pub mod response;
#[cfg(test)]
mod tests;

pub use self::{
    connection::{Http1Connection, ResponseError},
    request::RequestHead,
};

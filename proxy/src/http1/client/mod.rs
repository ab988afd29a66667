//! HTTP/1.1 towards replicas.
//!
//! One connection serves one request at a time: [`RequestHead`] is written by `request`,
//! [`response`] reads the answer's head, and `framing` says how its body ends. [`Http1Connection`] is
//! all of this around the bytes of a connection.

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

//! Requests and responses as the data plane knows them. They have the names and the methods of the
//! crate `http`, but their fields are a list: a proxy goes through all fields of each message, and
//! looks for few of them.

mod header_map;
mod request;
mod response;

/// The trailers of a body, as the crate `http-body` has them.
pub use http::HeaderMap as Trailers;

pub use self::{
    header_map::HeaderMap,
    request::{Request, RequestParts},
    response::{Response, ResponseParts},
};

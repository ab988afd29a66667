//! The protocols that inference clients speak: which one a request speaks
//! ([`ApiProtocol`]), where it names its model ([`route`], [`peek`]), what the
//! proxy answers itself ([`local_reply`]) and what errors look like ([`error`]).

mod api;
pub mod cors;
pub mod error;
pub mod grpc;
pub mod local_reply;
pub mod peek;
pub mod route;

pub use self::{api::ApiProtocol, error::ProxyError};

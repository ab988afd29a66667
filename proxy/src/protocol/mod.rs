//! The APIs that inference clients speak, as one [table](api): where a request names its model
//! ([`model_name`], [`peek`]) and contains its [`prompt`], what the proxy replies itself
//! ([`local_reply`]), and the form of errors ([`error`]).

pub mod answer_model;
pub mod api;
pub mod cors;
pub mod error;
pub mod grpc;
pub mod json_follower;
pub mod llm;
pub mod local_reply;
pub mod model_card;
pub mod model_name;
pub mod peek;
pub mod prompt;
pub mod response_id;

pub use self::{
    api::{Api, ApiProtocol},
    error::ProxyError,
};

//! The APIs that inference clients speak, as one [table](find): which requests there are, where
//! each names its model, how it is handled, and the form of errors. Routing, local replies, errors
//! and the table in `docs/reference/protocols.md` are made from it. Pure.
//!
//! Each API is a file of its own that implements [`ApiProtocol`] and is listed in `lookup`.

mod anthropic;
mod api_protocol;
mod grpc;
mod inference;
mod kserve_v1;
mod lookup;
mod management;
mod normal;
mod ollama;
mod openai;
mod pattern;
mod rerank;
mod route;
mod tgi;

#[cfg(test)]
mod tests;

pub use self::{
    api_protocol::{Api, ApiProtocol},
    inference::Inference,
    lookup::{Match, allowed_methods, find, refusal},
    normal::{Normal, normal},
    pattern::{Pattern, is_at_or_below},
    route::{Handling, Local, LocalRequest, Methods, ModelIn, Probe, Route, Service},
};

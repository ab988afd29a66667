//! The trait of an API.

use std::fmt;

use bytes::Bytes;

use super::route::Route;
use crate::{
    message::Response,
    {protocol::ProxyError, status::MethodType},
};

/// An API that inference clients speak.
pub trait ApiProtocol: fmt::Debug + Sync {
    /// Its name in the documentation.
    fn name(&self) -> &'static str;

    /// Its routes, the most frequent first. The order has no other meaning: if two routes match a
    /// path, the more specific one is taken.
    fn routes(&self) -> &'static [Route];

    /// An error in the form that the API's clients read.
    fn error(&self, error: &ProxyError) -> Response<Bytes>;

    /// Whether it is REST or gRPC. Only a gRPC API gets gRPC requests.
    fn method_type(&self) -> MethodType {
        MethodType::Rest
    }
}

/// A reference to an API. Each has one static instance.
pub type Api = &'static dyn ApiProtocol;

impl dyn ApiProtocol {
    /// Whether it is a gRPC API.
    #[must_use]
    pub fn is_grpc(&self) -> bool {
        self.method_type() == MethodType::Grpc
    }
}

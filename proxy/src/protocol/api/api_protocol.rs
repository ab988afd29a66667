//! What an API has to say of itself.

use std::fmt;

use bytes::Bytes;
use http::Response;

use super::route::Route;
use crate::{protocol::ProxyError, status::MethodType};

/// An API that inference clients speak.
pub trait ApiProtocol: fmt::Debug + Sync {
    /// What the documentation calls it.
    fn name(&self) -> &'static str;

    /// Its requests, those that are sent most first. The order decides nothing else: of two that
    /// fit a path, the more specific one is taken.
    fn routes(&self) -> &'static [Route];

    /// A failure, in the form that its clients read.
    fn error(&self, error: &ProxyError) -> Response<Bytes>;

    /// Whether it is spoken by gRPC. Only such an API gets requests of gRPC.
    fn method_type(&self) -> MethodType {
        MethodType::Rest
    }
}

/// An API. There is one of each, for as long as the process runs.
pub type Api = &'static dyn ApiProtocol;

impl dyn ApiProtocol {
    /// Whether it is spoken by gRPC.
    #[must_use]
    pub fn is_grpc(&self) -> bool {
        self.method_type() == MethodType::Grpc
    }
}

//! What callers are told.

use http::StatusCode;

use super::GrpcCode;

/// What a request's caller is told, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseStatus {
    /// Nothing: it has left, or the answer broke off.
    Nothing(MethodType),
    /// A status of HTTP.
    Http(StatusCode),
    /// A status of gRPC.
    Grpc(GrpcCode),
}

/// What Seldon's metrics tell apart as `method_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodType {
    /// Any HTTP that is not gRPC.
    Rest,
    /// gRPC.
    Grpc,
}

impl MethodType {
    /// The label's value.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Grpc => "grpc",
        }
    }
}

impl ResponseStatus {
    /// How it was asked for.
    #[must_use]
    pub fn method(self) -> MethodType {
        match self {
            Self::Nothing(method) => method,
            Self::Http(_) => MethodType::Rest,
            Self::Grpc(_) => MethodType::Grpc,
        }
    }
}

//! The status of a response.

use http::StatusCode;

use super::GrpcCode;

/// The status that a request's caller got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseStatus {
    /// None: the caller left, or the response broke off.
    Nothing(MethodType),
    /// An HTTP status.
    Http(StatusCode),
    /// A gRPC status.
    Grpc(GrpcCode),
}

/// The values of the label `method_type` in Seldon's metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodType {
    /// Any HTTP request other than gRPC.
    Rest,
    /// gRPC.
    Grpc,
}

impl MethodType {
    /// The value of the label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Grpc => "grpc",
        }
    }
}

impl ResponseStatus {
    /// The method type of the request.
    #[must_use]
    pub fn method(self) -> MethodType {
        match self {
            Self::Nothing(method) => method,
            Self::Http(_) => MethodType::Rest,
            Self::Grpc(_) => MethodType::Grpc,
        }
    }
}

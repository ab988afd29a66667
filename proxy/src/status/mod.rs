//! The words for how a request ends: what its caller was told, in HTTP or gRPC,
//! and the outcome that it is counted under. Pure; everything else may use it.

mod grpc_code;
mod outcome;
mod response;
mod retry_reason;

pub use self::{
    grpc_code::{GRPC_STATUS, GrpcCode, write_status},
    outcome::Outcome,
    response::{MethodType, ResponseStatus},
    retry_reason::RetryReason,
};

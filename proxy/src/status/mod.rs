//! How a request ended: the status that its caller got, in HTTP or gRPC, and the outcome that it
//! counts under. Pure.

mod grpc_code;
mod key_refusal;
mod outcome;
mod response;
mod retry_reason;

pub use self::{
    grpc_code::{GRPC_STATUS, GrpcCode, write_status},
    key_refusal::KeyRefusal,
    outcome::Outcome,
    response::{MethodType, ResponseStatus},
    retry_reason::RetryReason,
};

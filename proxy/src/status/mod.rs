//! How a request ended: the status that its caller got (HTTP or gRPC), the outcome under which it
//! is counted, and what its model has generated. Pure.

mod finish_reason;
mod generation;
mod grpc_code;
mod key_refusal;
mod outcome;
mod response;
mod retry_reason;

pub use self::{
    finish_reason::{FinishReason, FinishReasons},
    generation::{Generation, Operation},
    grpc_code::{GRPC_STATUS, GrpcCode, write_status},
    key_refusal::KeyRefusal,
    outcome::Outcome,
    response::{MethodType, ResponseStatus},
    retry_reason::RetryReason,
};

//! gRPC: deadlines, and replies of the proxy itself. Pure.

mod server_query;
mod timeout;

/// The descriptor of `inference.GRPCInferenceService`, for reflection: a `FileDescriptorSet` with
/// `dataplane.proto` of MLServer 1.7 (Apache-2.0), which is open-inference-protocol's
/// `open_inference_grpc.proto` with the model repository and streams.
pub const INFERENCE: &[u8] = include_bytes!("inference.binpb");

pub use self::{
    server_query::{ModelIndex, live, ready, repository_index, server_metadata},
    timeout::timeout,
};

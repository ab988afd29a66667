//! The methods of the Open Inference Protocol's service
//! (open-inference-protocol, `specification/protocol/open_inference_grpc.proto`,
//! and Triton's `grpc_service.proto`, which has more of them).

/// The service's path.
pub const SERVICE: &str = "/inference.GRPCInferenceService/";

/// What a path calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// About a model: its name is this field of the first message.
    OfModel {
        /// The number of the field.
        field: u32,
    },
    /// About the server: answered by the proxy for itself.
    OfServer(super::ServerQuery),
    /// Of the protocol, and not offered here.
    NotOffered,
    /// Of another service.
    Unknown,
}

impl Method {
    /// The method that `path` calls.
    #[must_use]
    pub fn of(path: &str) -> Self {
        use super::ServerQuery;
        match path.strip_prefix(SERVICE) {
            // `model_name` or `name`, always the first field.
            Some(
                "ModelInfer" | "ModelStreamInfer" | "ModelReady" | "ModelMetadata" | "ModelConfig"
                | "ModelStatistics",
            ) => Self::OfModel { field: 1 },
            Some("ServerLive") => Self::OfServer(ServerQuery::Live),
            Some("ServerReady") => Self::OfServer(ServerQuery::Ready),
            Some("ServerMetadata") => Self::OfServer(ServerQuery::Metadata),
            Some(_) => Self::NotOffered,
            None => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_methods() {
        for (path, expected) in [
            (
                "/inference.GRPCInferenceService/ModelInfer",
                Method::OfModel { field: 1 },
            ),
            (
                "/inference.GRPCInferenceService/ModelReady",
                Method::OfModel { field: 1 },
            ),
            (
                "/inference.GRPCInferenceService/ServerLive",
                Method::OfServer(crate::protocol::grpc::ServerQuery::Live),
            ),
            (
                "/inference.GRPCInferenceService/RepositoryIndex",
                Method::NotOffered,
            ),
            ("/inference.GRPCInferenceService/", Method::NotOffered),
            ("/vllm.Engine/Generate", Method::Unknown),
        ] {
            assert_eq!(Method::of(path), expected, "{path}");
        }
    }
}

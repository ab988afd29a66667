//! Which of the inference protocols a request speaks: it decides how the model
//! is found and what errors look like. Pure.

use http::{HeaderMap, header::CONTENT_TYPE};

/// A protocol that inference clients speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApiProtocol {
    /// Open Inference Protocol v2 over REST, and any other HTTP.
    #[default]
    Inference,
    /// OpenAI's API and what is modelled on it: paths below `/v1`.
    OpenAi,
    /// gRPC, whatever the service.
    Grpc,
}

impl ApiProtocol {
    /// The protocol of a request with these fields to `path`.
    #[must_use]
    pub fn of(headers: &HeaderMap, path: &str) -> Self {
        if headers
            .get(CONTENT_TYPE)
            .is_some_and(|v| is_grpc(v.as_bytes()))
        {
            Self::Grpc
        } else if path == "/v1" || path.starts_with("/v1/") {
            Self::OpenAi
        } else {
            Self::Inference
        }
    }
}

/// `application/grpc`, `application/grpc+proto`, …; not `application/grpc-web`,
/// which is another protocol.
fn is_grpc(content_type: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    content_type.len() >= GRPC.len()
        && content_type[..GRPC.len()].eq_ignore_ascii_case(GRPC)
        && matches!(
            content_type.get(GRPC.len()),
            None | Some(b'+' | b';' | b' ')
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_type_and_path_tell_the_dialect() {
        for (content_type, path, expected) in [
            (
                "application/json",
                "/v2/models/m/infer",
                ApiProtocol::Inference,
            ),
            (
                "application/json",
                "/v1/chat/completions",
                ApiProtocol::OpenAi,
            ),
            ("application/json", "/v1", ApiProtocol::OpenAi),
            ("application/json", "/v10/x", ApiProtocol::Inference),
            (
                "application/grpc",
                "/inference.GRPCInferenceService/ModelInfer",
                ApiProtocol::Grpc,
            ),
            ("application/grpc+proto", "/a.B/C", ApiProtocol::Grpc),
            ("application/gRPC; x=y", "/a.B/C", ApiProtocol::Grpc),
            (
                "application/grpc-web+proto",
                "/a.B/C",
                ApiProtocol::Inference,
            ),
            ("", "/", ApiProtocol::Inference),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
            assert_eq!(
                ApiProtocol::of(&headers, path),
                expected,
                "{content_type} {path}"
            );
        }
    }
}

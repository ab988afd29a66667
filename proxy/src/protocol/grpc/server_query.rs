//! Replies of the proxy to queries about the server. Most of these messages are tiny and fixed, so
//! they are encoded by hand.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, header::CONTENT_TYPE};
use prost::Message;

use crate::{
    message::{Response, Trailers},
    protocol::local_reply::LocalReply,
    status::{GrpcCode, write_status},
};

/// The proxy is alive.
#[must_use]
pub fn live() -> LocalReply {
    ready(true)
}

/// `ServerLiveResponse`, `ServerReadyResponse` and `ModelReadyResponse`, each of which has one
/// field: number 1, a bool. `false` is the default, and not encoded.
#[must_use]
pub fn ready(ready: bool) -> LocalReply {
    match ready {
        true => reply(&[1 << 3, 1]),
        false => reply(&[]),
    }
}

/// `ServerMetadataResponse`: name = 1, version = 2.
#[must_use]
pub fn server_metadata() -> LocalReply {
    let mut message = Vec::new();
    for (field, text) in [(1u8, "tailback"), (2, env!("CARGO_PKG_VERSION"))] {
        // Wire type 2 (length-delimited); both texts are shorter than 128 bytes.
        message.extend([field << 3 | 2, text.len() as u8]);
        message.extend(text.as_bytes());
    }
    reply(&message)
}

/// `ModelIndex` of Triton's model repository extension, an entry of `RepositoryIndexResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ModelIndex {
    /// The model's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// `READY` or `UNAVAILABLE`.
    #[prost(string, tag = "3")]
    pub state: String,
    /// Why it is in that state; may be empty.
    #[prost(string, tag = "4")]
    pub reason: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RepositoryIndexResponse {
    #[prost(message, repeated, tag = "1")]
    models: Vec<ModelIndex>,
}

/// `RepositoryIndexResponse`.
#[must_use]
pub fn repository_index(models: Vec<ModelIndex>) -> LocalReply {
    reply(&RepositoryIndexResponse { models }.encode_to_vec())
}

/// A response with one message, and the trailers of status OK.
fn reply(message: &[u8]) -> LocalReply {
    let mut response = Response::new(framed(message));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let mut trailers = Trailers::new();
    write_status(&mut trailers, GrpcCode::Ok, "");
    LocalReply {
        response,
        trailers: Some(trailers),
    }
}

/// A message with the 5-byte gRPC prefix: an uncompressed flag, and the length.
fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or_default());
    framed.put_slice(message);
    framed.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_framed_and_encoded() {
        assert_eq!(&live().response.body()[..], [0, 0, 0, 0, 2, 8, 1]);
        assert_eq!(&ready(false).response.body()[..], [0; 5]);
        let metadata = server_metadata().response.into_body();
        assert_eq!(metadata[4] as usize, metadata.len() - 5);
        assert_eq!(&metadata[5..15], b"\x0a\x08tailback");
    }

    #[test]
    fn repository_index_has_an_entry_for_each_model() {
        let entry = |name: &str, state: &str| ModelIndex {
            name: name.into(),
            version: "1".into(),
            state: state.into(),
            reason: String::new(),
        };
        let models = vec![entry("a", "READY"), entry("b", "UNAVAILABLE")];
        let body = repository_index(models.clone()).response.into_body();
        let response = RepositoryIndexResponse::decode(&body[5..]).unwrap();
        assert_eq!(response.models, models);
        assert_eq!(&body[5..8], [0x0a, 13, 0x0a]);
        assert_eq!(&repository_index(vec![]).response.body()[..], [0; 5]);
    }
}

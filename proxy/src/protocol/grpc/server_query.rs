//! What the proxy answers for itself. The messages are tiny and fixed, so they
//! are written by hand.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, header::CONTENT_TYPE};

use crate::{
    protocol::local_reply::LocalReply,
    status::{GrpcCode, write_status},
};

/// The proxy runs.
#[must_use]
pub fn live() -> LocalReply {
    ready(true)
}

/// `ServerLiveResponse`, `ServerReadyResponse` and `ModelReadyResponse`, which all have one
/// field, 1, a bool. What is false is not written.
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
        // Wire type 2; both are shorter than 128 bytes.
        message.extend([field << 3 | 2, text.len() as u8]);
        message.extend(text.as_bytes());
    }
    reply(&message)
}

/// The answer's head, its one message, and its trailers.
fn reply(message: &[u8]) -> LocalReply {
    let mut response = Response::new(framed(message));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let mut trailers = HeaderMap::new();
    write_status(&mut trailers, GrpcCode::Ok, "");
    LocalReply {
        response,
        trailers: Some(trailers),
    }
}

/// A message with its five bytes in front: not compressed, length.
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
}

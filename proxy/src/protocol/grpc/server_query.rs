//! What the proxy answers for itself. The messages are tiny and fixed, so they
//! are written by hand.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, header::CONTENT_TYPE};

use crate::status::{GrpcCode, write_status};

/// A question about the server, which is the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerQuery {
    /// It runs.
    Live,
    /// It takes requests; models without replicas have theirs held.
    Ready,
    /// What it is.
    Metadata,
}

/// The answer's head, its one message, and its trailers.
#[must_use]
pub fn reply(own: ServerQuery) -> (Response<Bytes>, HeaderMap) {
    let mut response = Response::new(framed(&message(own)));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let mut trailers = HeaderMap::new();
    write_status(&mut trailers, GrpcCode::Ok, "");
    (response, trailers)
}

fn message(own: ServerQuery) -> Vec<u8> {
    match own {
        // ServerLiveResponse.live, ServerReadyResponse.ready: field 1, true.
        ServerQuery::Live | ServerQuery::Ready => vec![1 << 3, 1],
        // ServerMetadataResponse: name = 1, version = 2.
        ServerQuery::Metadata => {
            let mut message = Vec::new();
            for (field, text) in [(1u8, "tailback"), (2, env!("CARGO_PKG_VERSION"))] {
                // Wire type 2; both are shorter than 128 bytes.
                message.extend([field << 3 | 2, text.len() as u8]);
                message.extend(text.as_bytes());
            }
            message
        }
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
        assert_eq!(
            &reply(ServerQuery::Live).0.body()[..],
            [0, 0, 0, 0, 2, 8, 1]
        );
        let metadata = reply(ServerQuery::Metadata).0.into_body();
        assert_eq!(metadata[4] as usize, metadata.len() - 5);
        assert_eq!(&metadata[5..15], b"\x0a\x08tailback");
    }
}

//! Writes the header of a request (RFC 9112, 3 and 6).

use http::{
    HeaderName, HeaderValue, Method,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE},
};
use http_body::Body;

use crate::{
    http1::{
        encoding::{Encoding, put_field},
        outbox::SMALL,
    },
    message::HeaderMap,
};

/// The header of a request. It is borrowed, so that the request can be sent again.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Path and query.
    pub target: &'a str,
    /// Its fields, without hop-by-hop fields.
    pub headers: &'a HeaderMap,
    /// Additional fields.
    pub added: &'a [(HeaderName, HeaderValue)],
    /// Replaces the field `host`.
    pub host: Option<&'a str>,
    /// The protocol to upgrade to (RFC 9110, 7.8).
    pub upgrade: Option<&'a HeaderValue>,
}

/// Writes `head`, for a request with `body`, to `out`. Returns the framing of the body.
pub(super) fn write_head<B: Body>(head: RequestHead<'_>, body: &B, out: &mut Vec<u8>) -> Encoding {
    // An estimate that is seldom too small. A small body is appended to the header.
    let fields = head.headers.len() + head.added.len();
    let body_bytes = body
        .size_hint()
        .exact()
        .filter(|&bytes| bytes <= SMALL as u64);
    out.reserve(96 + head.target.len() + 48 * fields + body_bytes.unwrap_or(0) as usize);
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.extend_from_slice(b" ");
    // RFC 9112, 3.2.1: a target without a path is sent with the path `/`.
    if head.target.starts_with('?') {
        out.extend_from_slice(b"/");
    }
    out.extend_from_slice(head.target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    // `host` comes first, because it determines for whom the request is (RFC 9110, 7.2).
    let host = head.host.map(str::as_bytes);
    if let Some(host) = host.or_else(|| head.headers.get(HOST).map(HeaderValue::as_bytes)) {
        put_field(out, &HOST, host);
    }
    let has_body = !body.is_end_stream();
    let added = head.added.iter().map(|(name, value)| (name, value));
    for (name, value) in head.headers.iter().chain(added) {
        // The fields of the body's framing are written below.
        if *name != HOST && *name != TRANSFER_ENCODING && (*name != CONTENT_LENGTH || !has_body) {
            put_field(out, name, value.as_bytes());
        }
    }
    if let Some(protocol) = head.upgrade {
        put_field(out, &CONNECTION, b"upgrade");
        put_field(out, &UPGRADE, protocol.as_bytes());
    }
    if !has_body {
        out.extend_from_slice(b"\r\n");
        return Encoding::Length(0);
    }
    let encoding = Encoding::of(body, head.headers);
    encoding.end_head(out);
    encoding
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::{Empty, Full, StreamBody};

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |&(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        fields.iter().map(field).collect()
    }

    fn written<B: Body>(head: RequestHead<'_>, body: &B) -> (String, Encoding) {
        let mut out = Vec::new();
        let encoding = write_head(head, body, &mut out);
        (String::from_utf8(out).unwrap(), encoding)
    }

    #[test]
    fn a_head_is_written_with_its_host_first_and_one_framing() {
        let fields = headers(&[
            ("content-length", "3"),
            ("transfer-encoding", "chunked"),
            ("x-a", "1"),
            ("host", "h"),
        ]);
        let mut head = RequestHead {
            method: &Method::POST,
            target: "/v2/models/m/infer?x=1",
            headers: &fields,
            added: &[],
            host: None,
            upgrade: None,
        };
        let (text, encoding) = written(head, &Full::new(Bytes::from_static(b"abcd")));
        let expected = "POST /v2/models/m/infer?x=1 HTTP/1.1\r\nhost: h\r\nx-a: 1\r\ncontent-length: 4\r\n\r\n";
        assert_eq!((text.as_str(), encoding), (expected, Encoding::Length(4)));
        head.target = "?x=1";
        let (text, _) = written(head, &Empty::<Bytes>::new());
        assert!(text.starts_with("POST /?x=1 HTTP/1.1\r\n"), "{text}");
        head.host = Some("replica:80");
        let websocket = HeaderValue::from_static("websocket");
        head.upgrade = Some(&websocket);
        let (text, _) = written(head, &Empty::<Bytes>::new());
        assert!(text.contains("\r\nhost: replica:80\r\n") && !text.contains("host: h\r\n"));
        assert!(text.contains("\r\nconnection: upgrade\r\nupgrade: websocket\r\n"));
    }

    #[test]
    fn a_body_of_unknown_length_goes_in_chunks_with_the_trailers_that_were_announced() {
        let fields = headers(&[("trailer", "x-sum, Content-Length")]);
        let head = RequestHead {
            method: &Method::PUT,
            target: "/",
            headers: &fields,
            added: &[],
            host: Some("h"),
            upgrade: None,
        };
        let frames = futures_util::stream::pending::<Result<http_body::Frame<Bytes>, ()>>();
        let (text, mut encoding) = written(head, &StreamBody::new(frames));
        assert!(
            text.ends_with("\r\ntransfer-encoding: chunked\r\n\r\n"),
            "{text}"
        );
        let mut out = Vec::new();
        encoding.before(26, &mut out).unwrap();
        out.extend_from_slice(encoding.behind());
        let trailers = headers(&[("x-sum", "1"), ("x-other", "2"), ("content-length", "3")]);
        encoding.end(Some(&trailers.into()), &mut out).unwrap();
        assert_eq!(out, b"1a\r\n\r\n0\r\nx-sum: 1\r\n\r\n");
    }
}

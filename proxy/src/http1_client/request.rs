//! Writes a request's head, and frames its body (RFC 9112, 3, 6 and 7).

use std::io::Write as _;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{
        AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
        CONTENT_TYPE, HOST, MAX_FORWARDS, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};
use http_body::Body;

/// Pieces of a body up to this are copied behind the head: one write, of one slice.
pub(super) const SMALL: usize = 2 * 1024;

/// The head of a request. It is only looked at: the same can be sent once more.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Path and query.
    pub target: &'a str,
    /// Its fields, without those of a hop.
    pub headers: &'a HeaderMap,
    /// More of them.
    pub added: &'a [(HeaderName, HeaderValue)],
    /// In place of the field `host`.
    pub host: Option<&'a str>,
    /// The protocol to go over to (RFC 9110, 7.8).
    pub upgrade: Option<&'a HeaderValue>,
}

/// How a request's body is framed.
#[derive(Debug, PartialEq)]
pub(super) enum Encoding {
    /// Bytes that are still to be sent.
    Length(u64),
    /// By chunks, and fields of these names behind them.
    Chunked(Vec<HeaderName>),
}

/// Writes `head` for `body` to `out`. Returns how the body is to be framed.
pub(super) fn write_head<B: Body>(head: RequestHead<'_>, body: &B, out: &mut Vec<u8>) -> Encoding {
    // A guess that is seldom too small. A small body goes behind the head.
    let fields = head.headers.len() + head.added.len();
    let body_bytes = body
        .size_hint()
        .exact()
        .filter(|&bytes| bytes <= SMALL as u64);
    out.reserve(96 + head.target.len() + 48 * fields + body_bytes.unwrap_or(0) as usize);
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
    // RFC 9112, 3.2.1: a target without a path has the path `/`.
    let root: &[u8] = if head.target.starts_with('?') {
        b"/"
    } else {
        b""
    };
    put(&[
        head.method.as_str().as_bytes(),
        b" ",
        root,
        head.target.as_bytes(),
        b" HTTP/1.1\r\n",
    ]);
    // First, as it says whom the rest is for (RFC 9110, 7.2).
    let host = head.host.map(str::as_bytes);
    if let Some(host) = host.or_else(|| head.headers.get(HOST).map(HeaderValue::as_bytes)) {
        put(&[b"host: ", host, b"\r\n"]);
    }
    let has_body = !body.is_end_stream();
    let added = head.added.iter().map(|(name, value)| (name, value));
    for (name, value) in head.headers.iter().chain(added) {
        // What frames the body is written below.
        if *name != HOST && *name != TRANSFER_ENCODING && (*name != CONTENT_LENGTH || !has_body) {
            put(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
    }
    if let Some(protocol) = head.upgrade {
        let (connection, upgrade) = (CONNECTION.as_str(), UPGRADE.as_str());
        put(&[connection.as_bytes(), b": upgrade\r\n"]);
        put(&[upgrade.as_bytes(), b": ", protocol.as_bytes(), b"\r\n"]);
    }
    let encoding = if has_body {
        encoding(head.headers, body)
    } else {
        Encoding::Length(0)
    };
    match &encoding {
        Encoding::Length(length) if has_body => {
            let mut digits = itoa::Buffer::new();
            let length = digits.format(*length).as_bytes();
            put(&[b"content-length: ", length, b"\r\n\r\n"]);
        }
        Encoding::Length(_) => out.extend_from_slice(b"\r\n"),
        Encoding::Chunked(_) => out.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n"),
    }
    encoding
}

fn encoding<B: Body>(headers: &HeaderMap, body: &B) -> Encoding {
    let announced = || headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
    match body.size_hint().exact().or_else(announced) {
        Some(length) => Encoding::Length(length),
        None => Encoding::Chunked(announced_trailers(headers)),
    }
}

/// The fields that may stand behind the body: those that the head announces (RFC 9110, 6.6.2).
fn announced_trailers(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(TRAILER).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .filter(may_trail)
        .collect()
}

/// Not what a message is framed, routed or authorised by (RFC 9110, 6.5.1).
fn may_trail(name: &HeaderName) -> bool {
    const NEVER: [HeaderName; 12] = [
        AUTHORIZATION,
        CACHE_CONTROL,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        HOST,
        MAX_FORWARDS,
        SET_COOKIE,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
    ];
    !NEVER.contains(name)
}

impl Encoding {
    /// Writes what stands in front of `length` bytes of the body. `None` if that is more than the
    /// head has announced.
    #[must_use]
    pub(super) fn before(&mut self, length: usize, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Length(left) => *left = left.checked_sub(length as u64)?,
            Self::Chunked(_) => {
                let _ = write!(out, "{length:x}\r\n");
            }
        }
        Some(())
    }

    /// What stands behind each piece of the body.
    pub(super) fn behind(&self) -> &'static [u8] {
        match self {
            Self::Length(_) => b"",
            Self::Chunked(_) => b"\r\n",
        }
    }

    /// Writes the end of the body, with the `trailers` that it may have. `None` if bytes are missing
    /// that the head has announced.
    #[must_use]
    pub(super) fn end(&self, trailers: Option<&HeaderMap>, out: &mut Vec<u8>) -> Option<()> {
        let names = match self {
            Self::Length(left) => return (*left == 0).then_some(()),
            Self::Chunked(names) => names,
        };
        out.extend_from_slice(b"0\r\n");
        for (name, value) in trailers.into_iter().flatten() {
            if names.contains(name) {
                for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                    out.extend_from_slice(part);
                }
            }
        }
        out.extend_from_slice(b"\r\n");
        Some(())
    }
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
        encoding.end(Some(&trailers), &mut out).unwrap();
        assert_eq!(out, b"1a\r\n\r\n0\r\nx-sum: 1\r\n\r\n");
    }

    #[test]
    fn a_body_is_as_long_as_its_head_says() {
        let mut encoding = Encoding::Length(3);
        let mut out = Vec::new();
        assert_eq!(encoding.before(4, &mut out), None);
        assert_eq!(encoding.before(2, &mut out), Some(()));
        assert_eq!(encoding.end(None, &mut out), None);
        assert_eq!(encoding.before(1, &mut out), Some(()));
        assert_eq!(encoding.end(None, &mut out), Some(()));
        assert!(out.is_empty());
    }
}

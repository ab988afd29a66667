//! Writes the header of a response (RFC 9112, 4 and 6).

use http::{
    Method, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, DATE, TRAILER, TRANSFER_ENCODING},
};
use http_body::Body;

use crate::{
    http1::{
        encoding::{Encoding, put_field},
        outbox::SMALL,
        tokens::has_token,
    },
    message::ResponseParts,
    net::date,
};

/// The properties of the request on which the response depends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) version: Version,
    pub(super) is_head: bool,
    pub(super) is_connect: bool,
    pub(super) takes_trailers: bool,
}

/// How a response continues after its header.
pub(super) struct Begun {
    /// The framing of the body. `None`: no body is sent, whatever the header says.
    pub(super) encoding: Option<Encoding>,
    /// Whether the connection may serve another request afterwards.
    pub(super) keep_alive: bool,
}

/// Writes `head`, for a response with `body`, to `out`. `keep_alive`: whether the connection may
/// serve another request afterwards.
pub(super) fn write_head<B: Body>(
    head: &ResponseParts,
    body: &B,
    asked: Asked,
    keep_alive: bool,
    out: &mut Vec<u8>,
) -> Begun {
    let body_bytes = (body.size_hint().exact()).filter(|&bytes| bytes <= SMALL as u64);
    out.reserve(128 + 48 * head.headers.len() + body_bytes.unwrap_or(0) as usize);
    write_status(head, asked.version, out);

    let switches = head.status == StatusCode::SWITCHING_PROTOCOLS
        || asked.is_connect && head.status.is_success();
    let has_none = switches
        || head.status.is_informational()
        || matches!(
            head.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
    let encoding = match body.is_end_stream() || has_none || asked.is_head {
        true => None,
        false => Some(match Encoding::of(body, &head.headers) {
            Encoding::Chunked(_) if asked.version == Version::HTTP_10 => Encoding::Close,
            Encoding::Chunked(_) if !asked.takes_trailers => Encoding::Chunked(Vec::new()),
            encoding => encoding,
        }),
    };
    let mut keeps_alive = keep_alive && encoding != Some(Encoding::Close);
    let (mut has_date, mut has_length, mut says_close) = (false, false, false);
    for (name, value) in &head.headers {
        if *name == TRANSFER_ENCODING
            // To HEAD, the length of the answer to GET.
            || *name == CONTENT_LENGTH && (has_none || !asked.is_head)
            || *name == TRAILER && !matches!(encoding, Some(Encoding::Chunked(_)))
        {
            continue;
        }
        if *name == CONNECTION {
            says_close |= has_token(value, b"close");
        }
        has_date |= *name == DATE;
        has_length |= *name == CONTENT_LENGTH;
        put_field(out, name, value.as_bytes());
    }
    if !has_date {
        date::with_now(|date| put_field(out, &DATE, date.as_bytes()));
    }
    keeps_alive &= !says_close;
    if switches {
        keeps_alive = false;
    } else if !keeps_alive && !says_close {
        put_field(out, &CONNECTION, b"close");
    } else if keeps_alive && asked.version == Version::HTTP_10 {
        put_field(out, &CONNECTION, b"keep-alive");
    }
    match &encoding {
        Some(encoding) => encoding.end_head(out),
        None if asked.is_head && !has_none && !has_length => match body.size_hint().exact() {
            // The length of the answer to GET.
            Some(length @ 1..) => Encoding::Length(length).end_head(out),
            Some(0) | None => out.extend_from_slice(b"\r\n"),
        },
        None if has_none || asked.is_head => out.extend_from_slice(b"\r\n"),
        None => out.extend_from_slice(b"content-length: 0\r\n\r\n"),
    }
    Begun {
        encoding,
        keep_alive: keeps_alive,
    }
}

fn write_status(head: &ResponseParts, version: Version, out: &mut Vec<u8>) {
    let custom = head.reason.as_ref();
    if head.status == StatusCode::OK && version == Version::HTTP_11 && custom.is_none() {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    let reason = match custom {
        Some(reason) => reason.as_bytes(),
        // Some clients expect a length even here.
        None => head
            .status
            .canonical_reason()
            .unwrap_or("Unknown")
            .as_bytes(),
    };
    let version: &[u8] = match version {
        Version::HTTP_10 => b"HTTP/1.0 ",
        _ => b"HTTP/1.1 ",
    };
    for part in [
        version,
        head.status.as_str().as_bytes(),
        b" ",
        reason,
        b"\r\n",
    ] {
        out.extend_from_slice(part);
    }
}

impl Asked {
    /// Of a request by `method`.
    pub(super) fn new(version: Version, method: &Method, takes_trailers: bool) -> Self {
        Self {
            version,
            is_head: *method == Method::HEAD,
            is_connect: *method == Method::CONNECT,
            takes_trailers,
        }
    }
}

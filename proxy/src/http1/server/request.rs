//! Reads the header of a request (RFC 9112, 3 to 6).

use bytes::{Bytes, BytesMut};
use http::{
    Method, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRANSFER_ENCODING},
};

use crate::{
    http1::{
        decoder::Framing,
        header_reader::{FieldLine, FieldLines, HeaderReader, Range, Stop},
        tokens::{has_token, tokens},
    },
    message::{HeaderMap, Request, RequestParts},
    net::digits,
};

/// Most bytes of a request's target.
const TARGET_BYTES: usize = u16::MAX as usize - 1;

/// The header of a request.
#[derive(Debug)]
pub struct IncomingHead {
    /// Method, target, version and fields.
    pub request: Request<()>,
    /// How the body ends; never [`Framing::Close`].
    pub framing: Framing,
    /// Whether the caller may send another request afterwards.
    pub keep_alive: bool,
    /// Whether the caller waits for `100 Continue` before it sends the body (RFC 9110, 10.1.1).
    pub expects_continue: bool,
    /// Whether the caller accepts trailers (RFC 9110, 10.1.4).
    pub takes_trailers: bool,
}

/// Why a header cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestHeadError {
    /// The first line is not a method, a target and a version.
    #[error(
        "the request line is malformed: it must be a method, a target without spaces, and HTTP/1.1 or HTTP/1.0"
    )]
    RequestLine,
    /// A field is malformed.
    #[error("a header field is malformed")]
    Field,
    /// It has more fields or bytes than allowed.
    #[error(
        "the header is too large: the proxy's limits are TAILBACK_HEADER_MAX_BYTES and TAILBACK_HEADER_MAX_FIELDS"
    )]
    TooLarge,
    /// The target is too long.
    #[error("the request's target is longer than {TARGET_BYTES} bytes")]
    TargetTooLong,
    /// The end of the body is ambiguous.
    #[error("content-length or transfer-encoding is malformed or contradicts itself")]
    Framing,
}

impl RequestHeadError {
    /// The status of the response to such a header.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::RequestLine | Self::Field | Self::Framing => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
        }
    }
}

/// Takes the header of a request out of `bytes`. `None`: more bytes are needed. At most
/// `most_fields` fields and `most_bytes` bytes are read.
///
/// # Errors
/// [`RequestHeadError`].
pub fn parse(
    bytes: &mut BytesMut,
    most_fields: usize,
    most_bytes: usize,
) -> Result<Option<IncomingHead>, RequestHeadError> {
    let mut fields = FieldLines::new();
    let mut reader = HeaderReader::new(bytes);
    let (method, target, version) = match read_lines(&mut reader, most_fields, &mut fields) {
        Ok(_) if reader.position() > most_bytes => return Err(RequestHeadError::TooLarge),
        Ok(first) => first,
        Err(Stop::Partial) if bytes.len() < most_bytes => return Ok(None),
        Err(Stop::Partial | Stop::TooMany) => return Err(RequestHeadError::TooLarge),
        Err(Stop::Field) => return Err(RequestHeadError::Field),
        Err(Stop::FirstLine) => return Err(RequestHeadError::RequestLine),
    };
    let length = reader.position();
    let text = target.of(bytes);
    if text.len() > TARGET_BYTES {
        return Err(RequestHeadError::TargetTooLong);
    }
    // `Uri` drops a fragment, whatever is in it.
    if !text.is_ascii() && std::str::from_utf8(text).is_err() {
        return Err(RequestHeadError::RequestLine);
    }
    let method = Method::from_bytes(method.of(bytes)).map_err(|_| RequestHeadError::RequestLine)?;
    let head = bytes.split_to(length).freeze();

    let uri = Uri::from_maybe_shared(target.slice(&head));
    let mut request = RequestParts {
        method,
        uri: uri.map_err(|_| RequestHeadError::RequestLine)?,
        version,
        headers: HeaderMap::with_capacity(fields.len()),
    };
    let hop = read_fields(&head, &fields, version, &mut request.headers)?;
    Ok(Some(IncomingHead {
        request: Request::from_parts(request, ()),
        framing: match hop.length {
            _ if hop.coding == Coding::Chunked => Framing::Chunked,
            length => Framing::Length(length.unwrap_or(0)),
        },
        // With both, another reader could find the next request in another place (RFC 9112, 6.1).
        keep_alive: hop.keep_alive && !(hop.coding == Coding::Chunked && hop.length.is_some()),
        expects_continue: hop.expects_continue && version == Version::HTTP_11,
        takes_trailers: hop.takes_trailers,
    }))
}

/// Reads method, target and version, and up to `most_fields` fields into `fields`.
fn read_lines(
    reader: &mut HeaderReader<'_>,
    most_fields: usize,
    fields: &mut FieldLines,
) -> Result<(Range, Range, Version), Stop> {
    reader.skip_empty_lines()?;
    let first = reader.request_line()?;
    reader.fields(most_fields, fields)?;
    Ok(first)
}

/// The fields that concern the connection and the body's framing.
struct Hop {
    keep_alive: bool,
    coding: Coding,
    length: Option<u64>,
    expects_continue: bool,
    takes_trailers: bool,
}

/// The value of `Transfer-Encoding`.
#[derive(Clone, Copy, PartialEq)]
enum Coding {
    None,
    /// `chunked` is the last coding.
    Chunked,
    Other,
}

/// Reads `fields` of `head` into `headers`. Repeated equal lengths become one; a length beside a
/// transfer coding is dropped.
fn read_fields(
    head: &Bytes,
    fields: &[FieldLine],
    version: Version,
    headers: &mut HeaderMap,
) -> Result<Hop, RequestHeadError> {
    let mut hop = Hop {
        keep_alive: version == Version::HTTP_11,
        coding: Coding::None,
        length: None,
        expects_continue: false,
        takes_trailers: false,
    };
    let mut closes = false;
    for field in fields {
        let (name, value) = field.read(head).ok_or(RequestHeadError::Field)?;
        if name == CONTENT_LENGTH {
            let length = digits(value.as_bytes()).ok_or(RequestHeadError::Framing)?;
            match hop.length.replace(length) {
                None => {}
                Some(before) if before == length => continue,
                Some(_) => return Err(RequestHeadError::Framing),
            }
        } else if name == TRANSFER_ENCODING {
            if version == Version::HTTP_10 {
                return Err(RequestHeadError::Framing);
            }
            let last = tokens(&value).last();
            hop.coding = match last.is_some_and(|last| last.eq_ignore_ascii_case(b"chunked")) {
                true => Coding::Chunked,
                false => Coding::Other,
            };
        } else if name == CONNECTION {
            closes |= has_token(&value, b"close");
            hop.keep_alive |= has_token(&value, b"keep-alive");
            hop.keep_alive &= !closes;
        } else if name == EXPECT {
            hop.expects_continue = value.as_bytes().eq_ignore_ascii_case(b"100-continue");
        } else if name == TE {
            hop.takes_trailers |= has_token(&value, b"trailers");
        }
        headers.append(name, value);
    }
    if hop.coding == Coding::Other {
        return Err(RequestHeadError::Framing);
    }
    if hop.coding == Coding::Chunked && hop.length.is_some() {
        headers.remove(CONTENT_LENGTH);
    }
    Ok(hop)
}

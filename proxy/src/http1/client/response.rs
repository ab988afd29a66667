//! Reads the header of an answer (RFC 9112, 4 to 6).

use bytes::{Bytes, BytesMut};
use http::{
    HeaderValue, Method, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use hyper::ext::ReasonPhrase;

use super::framing::{Coding, Hop, Length, framing};
use crate::{
    http1::{
        decoder::Framing,
        header_reader::{FieldLine, FieldLines, HeaderReader, Range, Stop},
        tokens::tokens,
    },
    message::{HeaderMap, Response, ResponseParts},
};

/// Most bytes in the header of an answer.
pub(super) const HEAD_BYTES: usize = 400 * 1024;
/// Most interim answers before an answer.
const INTERIM: usize = 100;

/// The header of an answer.
#[derive(Debug)]
pub struct Head {
    /// Status, version, fields, and the reason phrase if it is not the standard one.
    pub response: Response<()>,
    /// How the body ends.
    pub framing: Framing,
    /// Whether the connection may serve another request afterwards.
    pub keep_alive: bool,
    /// Whether the connection changes to another protocol.
    pub is_upgrade: bool,
}

/// Why a header cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// It has more fields or bytes than allowed, or more interim answers come before it.
    #[error("the head of the answer is too large")]
    TooLarge,
    /// It is not HTTP/1.1, or the end of the body is ambiguous.
    #[error("the head of the answer is malformed")]
    Malformed,
}

/// Takes the header of the answer to a request by `method` out of `bytes`. Interim answers (1xx
/// except 101) before it are dropped, and counted in `interim`. `None`: more bytes are needed. At most
/// `fields` fields are read.
///
/// # Errors
/// [`HeadError`].
pub fn parse(
    bytes: &mut BytesMut,
    method: &Method,
    fields: usize,
    interim: &mut usize,
) -> Result<Option<Head>, HeadError> {
    while !bytes.is_empty() {
        let Some(head) = parse_one(bytes, method, fields)? else {
            if bytes.len() >= HEAD_BYTES {
                return Err(HeadError::TooLarge);
            }
            return Ok(None);
        };
        let status = head.response.status();
        if !status.is_informational() || head.is_upgrade {
            return Ok(Some(head));
        }
        *interim += 1;
        if *interim > INTERIM {
            return Err(HeadError::TooLarge);
        }
    }
    Ok(None)
}

fn parse_one(
    bytes: &mut BytesMut,
    method: &Method,
    most: usize,
) -> Result<Option<Head>, HeadError> {
    let mut fields = FieldLines::new();
    let mut reader = HeaderReader::new(bytes);
    let (version, status, reason) = match read_lines(&mut reader, most, &mut fields) {
        Ok(first) => first,
        Err(Stop::Partial) => return Ok(None),
        Err(Stop::TooMany) => return Err(HeadError::TooLarge),
        Err(Stop::FirstLine | Stop::Field) => return Err(HeadError::Malformed),
    };
    let length = reader.position();
    if length > HEAD_BYTES {
        return Err(HeadError::TooLarge);
    }
    let status = StatusCode::from_u16(status).map_err(|_| HeadError::Malformed)?;
    let reason = Some(reason.of(bytes))
        .filter(|reason| Some(*reason) != status.canonical_reason().map(str::as_bytes));
    let reason = reason.and_then(|reason| ReasonPhrase::try_from(reason).ok());
    let head = bytes.split_to(length).freeze();

    let (headers, hop) = headers(&head, &fields, version)?;
    let response = ResponseParts {
        status,
        version,
        headers,
        reason,
    };
    let (framing, is_upgrade) =
        framing(status, method, version, hop).ok_or(HeadError::Malformed)?;
    Ok(Some(Head {
        response: Response::from_parts(response, ()),
        framing,
        keep_alive: hop.keep_alive && !is_upgrade,
        is_upgrade,
    }))
}

/// Reads version, status and reason phrase, and up to `most` fields into `fields`.
fn read_lines(
    reader: &mut HeaderReader<'_>,
    most: usize,
    fields: &mut FieldLines,
) -> Result<(Version, u16, Range), Stop> {
    reader.skip_empty_lines()?;
    let first = reader.status_line()?;
    reader.fields(most, fields)?;
    Ok(first)
}

fn headers(
    head: &Bytes,
    fields: &[FieldLine],
    version: Version,
) -> Result<(HeaderMap, Hop), HeadError> {
    // With room for what a proxy adds.
    let mut headers = HeaderMap::with_capacity(fields.len() + 2);
    let mut hop = Hop {
        keep_alive: version == Version::HTTP_11,
        coding: Coding::None,
        length: Length::None,
    };
    let (mut closes, mut lengths) = (false, 0);
    for field in fields {
        let Some((name, value)) = field.read(head) else {
            return Err(HeadError::Malformed);
        };
        if name == CONTENT_LENGTH {
            hop.length = hop.length.and(value.as_bytes());
            lengths += value.as_bytes().split(|&byte| byte == b',').count();
        } else if name == TRANSFER_ENCODING {
            let is_chunked = value.as_bytes().eq_ignore_ascii_case(b"chunked");
            hop.coding = match hop.coding {
                Coding::None if is_chunked => Coding::Chunked,
                _ => Coding::Other,
            };
        } else if name == CONNECTION {
            for token in tokens(&value) {
                // One `close` in any of the fields is decisive.
                closes |= token.eq_ignore_ascii_case(b"close");
                hop.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            }
            hop.keep_alive &= !closes;
            let is_only_ours = |word: &[u8]| value.as_bytes().eq_ignore_ascii_case(word);
            if is_only_ours(b"keep-alive") || is_only_ours(b"close") {
                // A hop-by-hop field: it is not passed on.
                continue;
            }
        }
        headers.append(name, value);
    }
    if let (Length::Bytes(length), true) = (hop.length, lengths > 1) {
        // Other readers may reject repeated lengths (RFC 9110, 8.6), so one is passed on.
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok((headers, hop))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Head>, HeadError> {
        parse(&mut BytesMut::from(text), &Method::POST, 100, &mut 0)
    }

    #[test]
    fn so_many_interim_answers_may_come_before_it() {
        for (before, is_read) in [(INTERIM, true), (INTERIM + 1, false)] {
            let (mut interim, mut read) = (0, Ok(None));
            for _ in 0..before {
                let mut bytes = BytesMut::from("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n");
                read = parse(&mut bytes, &Method::GET, 100, &mut interim);
            }
            if is_read {
                let mut bytes = BytesMut::from("HTTP/1.1 204 No Content\r\n\r\n");
                read = parse(&mut bytes, &Method::GET, 100, &mut interim);
            }
            match is_read {
                true => assert!(matches!(read, Ok(Some(_)))),
                false => assert!(matches!(read, Err(HeadError::TooLarge))),
            }
        }
    }

    #[test]
    fn the_end_of_the_body_and_of_the_connection_are_read_from_the_fields() {
        for (fields, framing, keep_alive) in [
            ("content-length: 3", Framing::Length(3), true),
            (
                "content-length: 3, 3\r\ncontent-length: 3",
                Framing::Length(3),
                true,
            ),
            (
                "transfer-encoding: Chunked\r\ncontent-length: 3",
                Framing::Chunked,
                true,
            ),
            ("x: y", Framing::Close, true),
            (
                "content-length: 0\r\nconnection: x, CLOSE",
                Framing::Length(0),
                false,
            ),
            (
                "content-length: 0\r\nconnection: close\r\nconnection: keep-alive",
                Framing::Length(0),
                false,
            ),
        ] {
            let head = read(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n"))
                .unwrap()
                .unwrap();
            assert_eq!(
                (head.framing, head.keep_alive),
                (framing, keep_alive),
                "{fields}"
            );
        }
        let old = "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n";
        assert!(!read(old).unwrap().unwrap().keep_alive);
        let kept = "HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n";
        assert!(read(kept).unwrap().unwrap().keep_alive);
    }

    #[test]
    fn what_is_read_as_a_value_is_one() {
        for byte in 0..=u8::MAX {
            let mut bytes = BytesMut::from("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: ab\r\n\r\n");
            let at = bytes.windows(2).position(|pair| pair == b"ab").unwrap();
            bytes[at] = byte;
            if let Ok(Some(head)) = parse(&mut bytes, &Method::POST, 100, &mut 0)
                && let Some(value) = head.response.headers().get("x")
            {
                assert!(HeaderValue::from_bytes(value.as_bytes()).is_ok(), "{byte}");
            }
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for text in [
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1,\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 204 None\r\ncontent-length: 1, 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length : 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "SSH-2.0-OpenSSH_9.2\r\n",
        ] {
            assert_eq!(read(text).unwrap_err(), HeadError::Malformed, "{text}");
        }
    }

    #[test]
    fn equal_lengths_become_one() {
        for (method, fields) in [
            (Method::HEAD, "content-length: 3\r\ncontent-length: 3"),
            (
                Method::POST,
                "content-length: 3, 3\r\nx: y\r\ncontent-length: 03",
            ),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
            let head = parse(&mut BytesMut::from(&text[..]), &method, 100, &mut 0).unwrap();
            let headers = head.unwrap().response.into_parts().0.headers;
            let lengths: Vec<_> = headers.get_all(CONTENT_LENGTH).collect();
            assert_eq!(lengths, ["3"], "{fields}");
        }
    }

    #[test]
    fn informational_heads_are_passed_over() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
        assert!(read(text).unwrap().is_none());
        let head = read(&format!("{text}HTTP/1.1 201 Fine\r\n\r\n"))
            .unwrap()
            .unwrap();
        assert_eq!(head.response.status(), 201);
        let parts = head.response.into_parts().0;
        assert_eq!(parts.reason.unwrap().as_bytes(), b"Fine");
        assert!(parts.headers.is_empty());
        let switched = read("HTTP/1.1 101 Switching Protocols\r\n\r\nabc")
            .unwrap()
            .unwrap();
        assert!(switched.is_upgrade && !switched.keep_alive);
    }

    #[test]
    fn answers_without_a_body_have_none_whatever_their_fields_say() {
        for (status, method) in [(204, Method::POST), (304, Method::GET), (200, Method::HEAD)] {
            let text = format!("HTTP/1.1 {status} x\r\ncontent-length: 5\r\n\r\n");
            let head = parse(&mut BytesMut::from(&text[..]), &method, 100, &mut 0)
                .unwrap()
                .unwrap();
            assert_eq!(head.framing, Framing::Length(0), "{status} {method}");
        }
    }

    #[test]
    fn heads_are_bounded_in_fields_and_bytes() {
        let with = |fields: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(fields));
        for (most, fields, fits) in [
            (100, 100, true),
            (100, 101, false),
            (150, 150, true),
            (2, 3, false),
        ] {
            let head = parse(
                &mut BytesMut::from(&with(fields)[..]),
                &Method::GET,
                most,
                &mut 0,
            );
            assert_eq!(head.is_ok(), fits, "{fields} of {most}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(HEAD_BYTES));
        assert_eq!(read(&endless).unwrap_err(), HeadError::TooLarge);
    }
}

//! Checks that every server interprets a request's header in the same way, as far as HTTP parsers
//! leave that to their users (RFC 9110, RFC 9112).

use std::net::Ipv6Addr;

use http::{
    Method, Version,
    header::{HOST, TRANSFER_ENCODING},
};

use super::fields::Fields;
use crate::{
    message::{HeaderMap, RequestParts},
    protocol::error::ProxyError,
};

/// Checks the head of a request, other than its path.
pub(super) fn check(head: &RequestParts, fields: Fields) -> Result<(), ProxyError> {
    if head.uri.path() == "*" && head.method != Method::OPTIONS {
        return Err(ProxyError::BadTarget);
    }
    check_host(head, fields)?;
    check_framing(&head.headers, fields)
}

/// RFC 9112, 3.2: HTTP/1.1 requires exactly one Host. RFC 9113, 8.3.1: in HTTP/2, Host must not
/// differ from `:authority`, and one of the two suffices.
fn check_host(head: &RequestParts, fields: Fields) -> Result<(), ProxyError> {
    if fields.has_several(Fields::HOST) {
        return Err(ProxyError::BadHost);
    }
    let host = head.headers.get(HOST);
    let authority = head.uri.authority();
    match (host, authority) {
        (None, None) if head.version >= Version::HTTP_11 => return Err(ProxyError::BadHost),
        (None, Some(_)) if head.version == Version::HTTP_11 => return Err(ProxyError::BadHost),
        (Some(host), Some(authority))
            if head.version == Version::HTTP_2
                && !host
                    .as_bytes()
                    .eq_ignore_ascii_case(authority.as_str().as_bytes()) =>
        {
            return Err(ProxyError::BadHost);
        }
        _ => {}
    }
    // An absent authority is an empty Host (RFC 9112, 3.2).
    let is_good = |host: &[u8]| host.is_empty() || is_host(host);
    if !host.is_none_or(|host| is_good(host.as_bytes()))
        || !authority.is_none_or(|authority| is_host(authority.as_str().as_bytes()))
    {
        return Err(ProxyError::BadHost);
    }
    Ok(())
}

/// Whether this is a host with or without a port (RFC 3986, 3.2.2 and 3.2.3). User information is
/// refused (RFC 9110, 4.2.4), and so is a comma: it stands where two fields were joined.
fn is_host(text: &[u8]) -> bool {
    let (name, port) = match text {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|&byte| byte == b']') else {
                return false;
            };
            let address = std::str::from_utf8(&rest[..end]);
            if !address.is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok()) {
                return false;
            }
            (&rest[..end], &rest[end + 1..])
        }
        _ => text.split_at(
            text.iter()
                .position(|&byte| byte == b':')
                .unwrap_or(text.len()),
        ),
    };
    let is_address = text.starts_with(b"[");
    !name.is_empty() && (is_address || is_name(name)) && is_port(port)
}

/// A registered name (RFC 3986, 3.2.2), without a comma.
fn is_name(name: &[u8]) -> bool {
    /// Bytes that need no escape.
    const PLAIN: [bool; 256] = {
        let (mut plain, mut byte) = ([false; 256], 0_u8);
        while byte < 128 {
            plain[byte as usize] = byte.is_ascii_alphanumeric()
                || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'')
                || matches!(byte, b'(' | b')' | b'*' | b'+' | b';' | b'=');
            byte += 1;
        }
        plain
    };
    let mut rest = name;
    while let [byte, after @ ..] = rest {
        rest = match byte {
            byte if PLAIN[usize::from(*byte)] => after,
            b'%' => match after {
                [a, b, after @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => after,
                _ => return false,
            },
            _ => return false,
        };
    }
    true
}

/// Whether this is empty, or a colon and a port, which may be missing.
fn is_port(text: &[u8]) -> bool {
    match text {
        [] => true,
        [b':', digits @ ..] => {
            let number = digits.iter().try_fold(0u32, |number, byte| match byte {
                b'0'..=b'9' => {
                    let digit = u32::from(byte - b'0');
                    Some(number.saturating_mul(10).saturating_add(digit))
                }
                _ => None,
            });
            number.is_some_and(|number| number <= u32::from(u16::MAX))
        }
        _ => false,
    }
}

/// Allows at most one length: with two, the next server might use the other one (RFC 9112, 6.3).
/// On HTTP/1.1, `http1` checks that the transfer coding ends in `chunked`, by which it reads the
/// body. It does not decode any other coding, which would then be forwarded unannounced (RFC 9112,
/// 6.1).
fn check_framing(headers: &HeaderMap, fields: Fields) -> Result<(), ProxyError> {
    if fields.has_several(Fields::CONTENT_LENGTH) {
        return Err(ProxyError::BadLength);
    }
    if !fields.has(Fields::TRANSFER_ENCODING) {
        return Ok(());
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING);
    match (codings.next(), codings.next()) {
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(ProxyError::TransferCoding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_with_or_without_a_port() {
        for host in [
            "a",
            "a.example",
            "A-b_c~d.example:8080",
            "a.example:",
            "127.0.0.1:80",
            "[::1]",
            "[2001:db8::1]:443",
            "a%20b",
            "xn--bcher-kva.example",
            "a!$&'()*+;=",
            "h:65535",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            ":80",
            "x y",
            "<script>",
            "x, y",
            "x,y",
            "user@h",
            "user:secret@h",
            "h:80:80",
            "h:x",
            "h:65536",
            "h:99999999999999999999",
            "h/p",
            "h?q",
            "h#f",
            "h\\p",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]80",
            "[a]",
            "[]",
            "[fe80::1%25eth0]",
            "a%2",
            "a%zz",
            "a\tb",
            "b\u{fc}cher",
            "\"h\"",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }
}

//! Header fields that the proxy adds, changes and removes.

use std::collections::HashSet;

use http::{
    HeaderName, HeaderValue, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
        TE, TRANSFER_ENCODING, UPGRADE, VIA,
    },
};
use smallvec::SmallVec;

use super::fields::Fields;
use crate::{
    exchange::{Connection, Scheme},
    message::HeaderMap,
    net::HttpVersion,
    status::MethodType,
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Routers behind the proxy set this field; callers must not.
const INTERNAL: HeaderName = HeaderName::from_static("seldon-internal-model");
/// Identifies a request across services.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// By the HTTP version in which the message was received.
const VIA_HTTP1: HeaderValue = HeaderValue::from_static("1.1 tailback");
const VIA_HTTP2: HeaderValue = HeaderValue::from_static("2 tailback");
const HTTP: HeaderValue = HeaderValue::from_static("http");
const HTTPS: HeaderValue = HeaderValue::from_static("https");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");

/// Fields that are sent besides those of the caller.
pub type Added = SmallVec<[(HeaderName, HeaderValue); 5]>;

/// Turns a request's header fields, of which these are `present`, into those for the replica.
/// Returns fields to add, and the request id, which also goes into the response.
pub(super) fn to_upstream(
    headers: &mut HeaderMap,
    present: Fields,
    from: &Connection,
    method: MethodType,
) -> (Added, HeaderValue) {
    let present = remove_hop_by_hop(headers, present);
    if present.has(Fields::EXPECT) {
        headers.remove(EXPECT);
    }
    if present.has(Fields::INTERNAL) {
        headers.remove(INTERNAL);
    }
    if method == MethodType::Grpc {
        // A hop-by-hop field that gRPC servers require.
        headers.insert(TE, TRAILERS);
    }
    if from.version == HttpVersion::Http2 && present.has(Fields::COOKIE) {
        join_cookies(headers);
    }

    let mut added = Added::new();
    added.push((X_FORWARDED_FOR, forwarded_for(headers, present, &from.peer)));
    if !present.has(Fields::FORWARDED_PROTO) {
        let scheme = match from.scheme {
            Scheme::Http => HTTP,
            Scheme::Https => HTTPS,
        };
        added.push((X_FORWARDED_PROTO, scheme));
    }
    if !present.has(Fields::FORWARDED_HOST)
        && let Some(host) = headers.get(HOST).cloned()
    {
        added.push((X_FORWARDED_HOST, host));
    }
    added.push((VIA, via(from.version)));
    let sent = present
        .has(Fields::REQUEST_ID)
        .then(|| headers.get(X_REQUEST_ID).cloned());
    let id = sent.flatten().unwrap_or_else(|| {
        let id = request_id();
        added.push((X_REQUEST_ID, id.clone()));
        id
    });
    (added, id)
}

/// `X-Forwarded-For` with the caller's address at its end.
fn forwarded_for(headers: &mut HeaderMap, present: Fields, peer: &HeaderValue) -> HeaderValue {
    if !present.has(Fields::FORWARDED_FOR) {
        return peer.clone();
    }
    // The field may have several lines. The last line is the nearest hop's.
    let so_far = headers.get_all(X_FORWARDED_FOR).cloned();
    let so_far = so_far.reduce(|all, line| joined(&all, &line).unwrap_or(line));
    headers.remove(X_FORWARDED_FOR);
    let all = so_far.and_then(|so_far| joined(&so_far, peer));
    all.unwrap_or_else(|| peer.clone())
}

/// Turns a response's header fields into those to send to the caller.
pub fn to_downstream(headers: &mut HeaderMap, request_id: HeaderValue, to: &Connection) {
    let present = remove_hop_by_hop(headers, Fields::look(headers));
    headers.append(VIA, via(to.version));
    if !present.has(Fields::REQUEST_ID) {
        headers.insert(X_REQUEST_ID, request_id);
    }
}

fn via(version: HttpVersion) -> HeaderValue {
    match version {
        HttpVersion::Http1 => VIA_HTTP1,
        HttpVersion::Http2 => VIA_HTTP2,
    }
}

/// RFC 9113, 8.2.3: HTTP/2 may split this field into lines, HTTP/1.1 must not.
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE);
    if let (Some(first), Some(second)) = (cookies.next(), cookies.next()) {
        let mut all = first.as_bytes().to_vec();
        for cookie in std::iter::once(second).chain(cookies) {
            all.extend_from_slice(b"; ");
            all.extend_from_slice(cookie.as_bytes());
        }
        if let Ok(all) = HeaderValue::from_bytes(&all) {
            headers.insert(COOKIE, all);
        }
    }
}

/// The protocol that a request wants to upgrade to (RFC 9110, 7.8). HTTP/2 has no upgrades. An
/// upgrade to HTTP/2 (`h2c`) is not forwarded, because it would open a tunnel to the replica that
/// bypasses the proxy. An upgrade in HTTP/1.0 is ignored.
#[must_use]
pub(super) fn wanted_upgrade(
    headers: &HeaderMap,
    present: Fields,
    version: Version,
) -> Option<HeaderValue> {
    if version != Version::HTTP_11 || !present.has(Fields::UPGRADE) {
        return None;
    }
    let wanted = headers.get(UPGRADE)?;
    let names = |value: &HeaderValue, wanted: &str| {
        let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
        text.split(',').any(|name| name.trim() == wanted)
    };
    let asked = headers
        .get_all(CONNECTION)
        .any(|value| names(value, "upgrade"));
    (asked && !names(wanted, "h2c")).then(|| wanted.clone())
}

/// Writes the fields by which an upgrade is requested or accepted.
pub fn write_upgrade(headers: &mut HeaderMap, protocol: &HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol.clone());
}

/// Removes fields that belong to one connection, and the fields that `connection` names (RFC 9110,
/// 7.6.1).
fn remove_hop_by_hop(headers: &mut HeaderMap, mut present: Fields) -> Fields {
    // Framing belongs to one connection, and so do its fields. If both are present, the message
    // was framed by Transfer-Encoding (RFC 9112, 6.1).
    if present.has(Fields::TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    if present.has(Fields::CONNECTION) {
        let named = named_by_connection(headers);
        headers.remove(CONNECTION);
        if !named.is_empty() {
            headers.retain(|name| !named.contains(name.as_str()));
            // Any other field may have been removed.
            present = Fields::look(headers);
        }
    }
    if present.has(Fields::TE) {
        headers.remove(TE);
    }
    if present.has(Fields::HOP_BY_HOP) {
        for name in &HOP_BY_HOP {
            headers.remove(name);
        }
    }
    present
}

/// The fields of `headers` that `connection` names, but for those that are removed anyway.
fn named_by_connection(headers: &HeaderMap) -> HashSet<String> {
    // A caller must not be able to remove the last two.
    let (hops, others) = (HOP_BY_HOP, [CONNECTION, HOST, CONTENT_LENGTH]);
    let is_field = |name: &&str| {
        let mut others = hops.iter().chain(&others);
        !others.any(|other| name.eq_ignore_ascii_case(other.as_str()))
    };
    let mut named = headers
        .get_all(CONNECTION)
        .filter_map(|value| value.to_str().ok())
        // Most of these values name no field.
        .filter(|value| {
            !["keep-alive", "close"]
                .iter()
                .any(|word| value.eq_ignore_ascii_case(word))
        })
        .flat_map(|value| value.split(',').map(str::trim))
        .filter(is_field)
        .map(str::to_ascii_lowercase)
        .peekable();
    if named.peek().is_none() {
        return HashSet::new();
    }
    // There may be thousands, of which no more are kept than there are fields.
    let there: HashSet<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    named.filter(|name| there.contains(name.as_str())).collect()
}

/// `trailer` is not among them, because it is for the final recipient of the body (RFC 9110,
/// 6.6.2), and HTTP/1.1 forwards only trailers that it names.
const HOP_BY_HOP: [HeaderName; 7] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

fn joined(so_far: &HeaderValue, peer: &HeaderValue) -> Option<HeaderValue> {
    let all = [so_far.as_bytes(), b", ", peer.as_bytes()].concat();
    HeaderValue::from_bytes(&all).ok()
}

/// 128 random bits in hex.
fn request_id() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bits = fastrand::u128(..).to_be_bytes();
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bits) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    // Hex digits are valid header characters, so this cannot fail.
    let mut id = HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("0"));
    // The id occurs only once: in HTTP/2's compression table it would only displace fields that
    // recur.
    id.set_sensitive(true);
    id
}

#[cfg(test)]
mod tests;

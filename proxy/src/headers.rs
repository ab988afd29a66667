//! What a proxy does to header fields on their way through.

use std::fmt::Write;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, VIA},
};
use smallvec::SmallVec;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Set by routers behind us, never by callers.
const INTERNAL: HeaderName = HeaderName::from_static("seldon-internal-model");
/// Identifies a request across services.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const VIA_US: HeaderValue = HeaderValue::from_static("1.1 tailback");
const HTTP: HeaderValue = HeaderValue::from_static("http");

/// Makes a request's fields those to send to a replica. Returns the request id,
/// which also goes into the response. `peer` is the caller's address.
pub fn to_upstream(headers: &mut HeaderMap, peer: &HeaderValue) -> HeaderValue {
    // Framing is this hop's, and so is what it is framed by. With both fields
    // present, Transfer-Encoding is what the message was read by (RFC 9112, 6.1).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    remove_hop_by_hop(headers);
    headers.remove(EXPECT);
    headers.remove(INTERNAL);

    match headers
        .get(X_FORWARDED_FOR)
        .and_then(|so_far| joined(so_far, peer))
    {
        Some(all) => headers.insert(X_FORWARDED_FOR, all),
        None => headers.insert(X_FORWARDED_FOR, peer.clone()),
    };
    if !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HTTP);
    }
    if !headers.contains_key(X_FORWARDED_HOST)
        && let Some(host) = headers.get(HOST).cloned()
    {
        headers.insert(X_FORWARDED_HOST, host);
    }
    headers.append(VIA, VIA_US);
    match headers.get(X_REQUEST_ID) {
        Some(id) => id.clone(),
        None => {
            let id = request_id();
            headers.insert(X_REQUEST_ID, id.clone());
            id
        }
    }
}

/// Makes a response's fields those to send to the caller.
pub fn to_downstream(headers: &mut HeaderMap, request_id: HeaderValue) {
    remove_hop_by_hop(headers);
    headers.append(VIA, VIA_US);
    headers.entry(X_REQUEST_ID).or_insert(request_id);
}

/// RFC 9110, 7.6.1: fields of one connection, and those it names.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: SmallVec<[HeaderName; 4]> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            // Naming what makes a request whole does not make it a hop's own.
            .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    // Most messages have none of these: one look at what there is costs less
    // than looking for each.
    if headers.keys().any(|name| is_hop_by_hop(name.as_str())) {
        for name in HOP_BY_HOP {
            headers.remove(*name);
        }
    }
}

const HOP_BY_HOP: &[&str] = &[
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn is_hop_by_hop(name: &str) -> bool {
    HOP_BY_HOP.contains(&name)
}

fn joined(so_far: &HeaderValue, peer: &HeaderValue) -> Option<HeaderValue> {
    let all = [so_far.as_bytes(), b", ", peer.as_bytes()].concat();
    HeaderValue::from_bytes(&all).ok()
}

/// 128 random bits in hex.
fn request_id() -> HeaderValue {
    let mut text = String::with_capacity(32);
    // Writing to a String does not fail, and hex digits are a legal value.
    let _ = write!(text, "{:032x}", fastrand::u128(..));
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn peer() -> HeaderValue {
        HeaderValue::from_static("10.0.0.9")
    }

    #[test]
    fn hop_by_hop_fields_and_those_connection_names_stay_behind() {
        let mut headers = map(&[
            ("host", "h"),
            ("connection", "close, x-secret , Host"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "x"),
            ("expect", "100-continue"),
            ("seldon-internal-model", "m_1"),
            ("traceparent", "00-a-b-01"),
        ]);
        to_upstream(&mut headers, &peer());
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(
            left,
            [
                "host",
                "traceparent",
                "via",
                "x-forwarded-for",
                "x-forwarded-host",
                "x-forwarded-proto",
                "x-request-id"
            ]
        );
    }

    #[test]
    fn request_id_is_kept_or_made_and_returned() {
        let mut made = map(&[]);
        let id = to_upstream(&mut made, &peer());
        assert_eq!((id.len(), &made[X_REQUEST_ID]), (32, &id));
        let mut kept = map(&[("x-request-id", "mine")]);
        assert_eq!(to_upstream(&mut kept, &peer()), "mine");
        let mut response = map(&[("connection", "close")]);
        to_downstream(&mut response, id.clone());
        assert_eq!(
            (response.get(CONNECTION), &response[X_REQUEST_ID]),
            (None, &id)
        );
    }

    #[test]
    fn forwarded_for_grows_by_the_caller() {
        let mut headers = map(&[
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("via", "1.1 edge"),
        ]);
        to_upstream(&mut headers, &peer());
        assert_eq!(headers[X_FORWARDED_FOR], "1.2.3.4, 10.0.0.9");
        assert_eq!(headers[X_FORWARDED_PROTO], "https");
        let via: Vec<_> = headers.get_all(VIA).iter().collect();
        assert_eq!(via, ["1.1 edge", "1.1 tailback"]);
    }
}

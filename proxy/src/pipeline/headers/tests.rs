use std::sync::Arc;

use super::*;

fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn caller(version: HttpVersion, scheme: Scheme) -> Connection {
    let timeouts = tailback_config::load_text(
        std::path::Path::new("a.yaml"),
        include_str!("../../../../config/fixtures/static.yaml"),
        &tailback_config::Env::default(),
    )
    .unwrap()
    .process
    .timeouts;
    let peer = Some("10.0.0.9:1".parse().unwrap());
    Connection::new(Arc::new(timeouts), peer, version, scheme)
}

fn up(headers: &mut HeaderMap) -> HeaderValue {
    let from = caller(HttpVersion::Http1, Scheme::Http);
    send_up(headers, &from, MethodType::Rest)
}

/// The fields as they are sent, and the request id.
fn send_up(headers: &mut HeaderMap, from: &Connection, method: MethodType) -> HeaderValue {
    let (added, id) = to_upstream(headers, Fields::look(headers), from, method);
    for (name, value) in added {
        headers.append(name, value);
    }
    id
}

#[test]
fn hop_by_hop_fields_and_those_that_connection_names_are_removed() {
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
        ("trailer", "x-checksum"),
    ]);
    up(&mut headers);
    let mut left: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    left.sort_unstable();
    assert_eq!(
        left,
        [
            "host",
            "traceparent",
            "trailer",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-request-id"
        ]
    );
}

#[test]
fn what_connection_names_is_set_anew() {
    let mut headers = map(&[
        (
            "connection",
            "x-forwarded-proto, x-request-id, x-forwarded-for",
        ),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-request-id", "mine"),
    ]);
    let id = up(&mut headers);
    assert_eq!(headers[X_FORWARDED_PROTO], "http");
    assert_eq!(headers[X_FORWARDED_FOR], "10.0.0.9");
    assert_eq!(
        (headers[X_REQUEST_ID].len(), &headers[X_REQUEST_ID]),
        (32, &id)
    );
}

#[test]
fn every_hop_by_hop_field_is_recognised() {
    for name in &HOP_BY_HOP {
        let own = Fields::HOP_BY_HOP | Fields::TE;
        assert!(Fields::of(name.as_str()) & own != 0, "{name}");
    }
}

#[test]
fn request_id_is_kept_or_made_and_returned() {
    let mut made = map(&[]);
    let id = up(&mut made);
    assert_eq!((id.len(), &made[X_REQUEST_ID]), (32, &id));
    let mut kept = map(&[("x-request-id", "mine")]);
    assert_eq!(up(&mut kept), "mine");
    let mut response = map(&[("connection", "close")]);
    to_downstream(
        &mut response,
        id.clone(),
        &caller(HttpVersion::Http1, Scheme::Http),
    );
    assert_eq!(
        (response.get(CONNECTION), &response[X_REQUEST_ID]),
        (None, &id)
    );
}

#[test]
fn forwarded_for_is_extended_by_the_callers_address() {
    let mut headers = map(&[
        ("x-forwarded-for", "1.2.3.3"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-proto", "https"),
        ("via", "1.1 edge"),
    ]);
    up(&mut headers);
    assert_eq!(headers[X_FORWARDED_FOR], "1.2.3.3, 1.2.3.4, 10.0.0.9");
    assert_eq!(headers[X_FORWARDED_PROTO], "https");
    let via: Vec<_> = headers.get_all(VIA).collect();
    assert_eq!(via, ["1.1 edge", "1.1 tailback"]);
}

#[test]
fn forwarded_fields_show_http2_and_tls() {
    let mut headers = map(&[("cookie", "a=1"), ("cookie", "b=2"), ("te", "gzip")]);
    let from = caller(HttpVersion::Http2, Scheme::Https);
    send_up(&mut headers, &from, MethodType::Grpc);
    assert_eq!(headers[COOKIE], "a=1; b=2");
    assert_eq!(headers.get_all(COOKIE).count(), 1);
    assert_eq!(headers[X_FORWARDED_PROTO], "https");
    assert_eq!(headers[VIA], "2 tailback");
    assert_eq!(headers[TE], "trailers");
}

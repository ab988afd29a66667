//! The static table (RFC 7541, Appendix A).

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header as names};

use super::Field;

/// The number of entries. The dynamic table's newest entry has the index after it.
pub(super) const LENGTH: usize = FIELDS.len();

/// The entry of an index, from 1 on.
#[inline(always)]
pub(super) fn get(index: usize) -> Option<&'static Field> {
    FIELDS.get(index.wrapping_sub(1))
}

const fn path(path: &'static str) -> Field {
    Field::Path(Bytes::from_static(path.as_bytes()))
}

const fn scheme(scheme: &'static str) -> Field {
    Field::Scheme(Bytes::from_static(scheme.as_bytes()))
}

const fn field(name: HeaderName, value: &'static str) -> Field {
    Field::Regular(name, HeaderValue::from_static(value))
}

static FIELDS: [Field; 61] = [
    Field::Authority(Bytes::new()),
    Field::Method(Method::GET),
    Field::Method(Method::POST),
    path("/"),
    path("/index.html"),
    scheme("http"),
    scheme("https"),
    Field::Status(StatusCode::OK),
    Field::Status(StatusCode::NO_CONTENT),
    Field::Status(StatusCode::PARTIAL_CONTENT),
    Field::Status(StatusCode::NOT_MODIFIED),
    Field::Status(StatusCode::BAD_REQUEST),
    Field::Status(StatusCode::NOT_FOUND),
    Field::Status(StatusCode::INTERNAL_SERVER_ERROR),
    field(names::ACCEPT_CHARSET, ""),
    field(names::ACCEPT_ENCODING, "gzip, deflate"),
    field(names::ACCEPT_LANGUAGE, ""),
    field(names::ACCEPT_RANGES, ""),
    field(names::ACCEPT, ""),
    field(names::ACCESS_CONTROL_ALLOW_ORIGIN, ""),
    field(names::AGE, ""),
    field(names::ALLOW, ""),
    field(names::AUTHORIZATION, ""),
    field(names::CACHE_CONTROL, ""),
    field(names::CONTENT_DISPOSITION, ""),
    field(names::CONTENT_ENCODING, ""),
    field(names::CONTENT_LANGUAGE, ""),
    field(names::CONTENT_LENGTH, ""),
    field(names::CONTENT_LOCATION, ""),
    field(names::CONTENT_RANGE, ""),
    field(names::CONTENT_TYPE, ""),
    field(names::COOKIE, ""),
    field(names::DATE, ""),
    field(names::ETAG, ""),
    field(names::EXPECT, ""),
    field(names::EXPIRES, ""),
    field(names::FROM, ""),
    field(names::HOST, ""),
    field(names::IF_MATCH, ""),
    field(names::IF_MODIFIED_SINCE, ""),
    field(names::IF_NONE_MATCH, ""),
    field(names::IF_RANGE, ""),
    field(names::IF_UNMODIFIED_SINCE, ""),
    field(names::LAST_MODIFIED, ""),
    field(names::LINK, ""),
    field(names::LOCATION, ""),
    field(names::MAX_FORWARDS, ""),
    field(names::PROXY_AUTHENTICATE, ""),
    field(names::PROXY_AUTHORIZATION, ""),
    field(names::RANGE, ""),
    field(names::REFERER, ""),
    field(names::REFRESH, ""),
    field(names::RETRY_AFTER, ""),
    field(names::SERVER, ""),
    field(names::SET_COOKIE, ""),
    field(names::STRICT_TRANSPORT_SECURITY, ""),
    field(names::TRANSFER_ENCODING, ""),
    field(names::USER_AGENT, ""),
    field(names::VARY, ""),
    field(names::VIA, ""),
    field(names::WWW_AUTHENTICATE, ""),
];

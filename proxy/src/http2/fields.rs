//! From decoded fields to messages (RFC 9113, 8.2 and 8.3), and from messages to fields.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING, UPGRADE},
    uri,
};

use super::hpack::Field;
use crate::{
    message::{HeaderMap, Request, RequestParts, Response, ResponseParts, Trailers},
    net::digits,
};

/// The fields of a header block.
#[derive(Debug)]
pub(super) struct MessageFields {
    method: Option<Method>,
    scheme: Option<Bytes>,
    authority: Option<Bytes>,
    path: Option<Bytes>,
    status: Option<StatusCode>,
    regular: HeaderMap,
    /// Whether a field that is no pseudo-field has come.
    has_regular: bool,
    most: usize,
    /// Lengths behind the first one.
    repeated: usize,
    /// Whether a rule was broken.
    pub(super) is_malformed: bool,
    /// Whether there are more fields than `most`.
    pub(super) is_too_many: bool,
}

impl MessageFields {
    /// Takes up to `most` fields, apart from pseudo-fields.
    pub(super) fn new(most: usize) -> Self {
        Self {
            method: None,
            scheme: None,
            authority: None,
            path: None,
            status: None,
            regular: HeaderMap::new(),
            has_regular: false,
            most,
            is_malformed: false,
            is_too_many: false,
            repeated: 0,
        }
    }

    /// Takes the next field.
    pub(super) fn add(&mut self, field: Field) {
        let fits = match field {
            Field::Regular(name, value) => {
                self.has_regular = true;
                return self.add_regular(name, value);
            }
            Field::Method(value) => set(&mut self.method, value),
            Field::Scheme(value) => set(&mut self.scheme, value),
            Field::Authority(value) => set(&mut self.authority, value),
            Field::Path(value) => set(&mut self.path, value),
            Field::Status(value) => set(&mut self.status, value),
            // Extended CONNECT (RFC 8441) was not offered.
            Field::Protocol(_) => false,
        };
        // Pseudo-fields come first, each once.
        self.is_malformed |= !fits || self.has_regular;
    }

    fn add_regular(&mut self, name: HeaderName, value: HeaderValue) {
        let value = trimmed(value);
        if is_of_connection(&name) || name == TE && value != "trailers" {
            self.is_malformed = true;
            return;
        }
        if self.regular.len() >= self.most {
            self.is_too_many = true;
            return;
        }
        if self.regular.is_empty() {
            self.regular.reserve(TYPICAL);
        }
        if name == CONTENT_LENGTH
            && let Some(first) = self.regular.get(CONTENT_LENGTH)
        {
            // Several equal ones are one (RFC 9110, 8.6).
            self.is_malformed |= first != value;
            self.repeated += 1;
            self.is_too_many |= self.repeated >= self.most;
            return;
        }
        self.regular.append(name, value);
    }

    /// The announced length of the body.
    ///
    /// # Errors
    /// If it is no number.
    pub(super) fn content_length(&self) -> Result<Option<u64>, NoNumber> {
        let Some(value) = self.regular.get(CONTENT_LENGTH) else {
            return Ok(None);
        };
        digits(value.as_bytes()).map(Some).ok_or(NoNumber)
    }

    /// Whether there are pseudo-fields, which trailers may not have.
    pub(super) fn has_pseudo_fields(&self) -> bool {
        self.method.is_some()
            || self.scheme.is_some()
            || self.authority.is_some()
            || self.path.is_some()
            || self.status.is_some()
    }

    pub(super) fn into_trailers(self) -> Trailers {
        self.regular.into()
    }

    /// The request; `None`: it is malformed.
    pub(super) fn into_request(self) -> Option<Request<()>> {
        if self.status.is_some() {
            return None;
        }
        let method = self.method?;
        let mut target = uri::Parts::default();
        if let Some(authority) = self.authority {
            target.authority = Some(uri::Authority::from_maybe_shared(authority).ok()?);
        }
        if method == Method::CONNECT {
            if self.scheme.is_some() || self.path.is_some() || target.authority.is_none() {
                return None;
            }
        } else {
            let scheme = uri::Scheme::try_from(&self.scheme?[..]).ok()?;
            let path = self.path.filter(|path| !path.is_empty())?;
            target.path_and_query = Some(uri::PathAndQuery::from_maybe_shared(path).ok()?);
            // `Uri` has no scheme without a host.
            target.scheme = target.authority.is_some().then_some(scheme);
        }
        let parts = RequestParts {
            method,
            uri: Uri::from_parts(target).ok()?,
            version: Version::HTTP_2,
            headers: self.regular,
        };
        Some(Request::from_parts(parts, ()))
    }

    /// The response; `None`: it is malformed.
    pub(super) fn into_response(self) -> Option<Response<()>> {
        let is_request = self.method.is_some()
            || self.scheme.is_some()
            || self.authority.is_some()
            || self.path.is_some();
        let status = self.status.filter(|_| !is_request)?;
        let parts = ResponseParts {
            status,
            version: Version::HTTP_2,
            headers: self.regular,
            reason: None,
        };
        Some(Response::from_parts(parts, ()))
    }
}

/// Few messages have more fields.
const TYPICAL: usize = 14;

/// A length that is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoNumber;

/// Sets a field. Returns whether it was not set yet.
fn set<T>(field: &mut Option<T>, value: T) -> bool {
    field.replace(value).is_none()
}

/// Whether the field is for one connection of HTTP/1.1, so that HTTP/2 may not have it (RFC 9113,
/// 8.2.2).
pub(super) fn is_of_connection(name: &HeaderName) -> bool {
    *name == CONNECTION
        || *name == TRANSFER_ENCODING
        || *name == UPGRADE
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// Whether responses with this status have no body, although their header may announce one.
pub(super) fn has_no_body(status: StatusCode) -> bool {
    status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

/// The value without outer white space, as parsers of HTTP/1.1 read it (RFC 9110, 5.5). RFC 9113 (8.2.1)
/// forbids it, but gRPC's status messages and metadata have it, which may be stripped.
fn trimmed(value: HeaderValue) -> HeaderValue {
    let bytes = value.as_bytes();
    let is_outer = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if !is_outer(bytes.first()) && !is_outer(bytes.last()) {
        return value;
    }
    let mut trimmed = HeaderValue::from_bytes(bytes.trim_ascii()).unwrap_or_else(|_| value.clone());
    trimmed.set_sensitive(value.is_sensitive());
    trimmed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regular(name: &'static str, value: &'static str) -> Field {
        Field::Regular(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    }

    #[test]
    fn values_have_no_outer_white_space() {
        for (value, trimmed) in [(" a", "a"), ("a\t", "a"), ("\t a b ", "a b"), (" ", "")] {
            let read = request([regular("x", value)]).unwrap();
            assert_eq!(read.headers()["x"], trimmed);
        }
    }

    fn request(added: impl IntoIterator<Item = Field>) -> Option<Request<()>> {
        let mut fields = MessageFields::new(3);
        for field in [
            Field::Method(Method::POST),
            Field::Scheme("http".into()),
            Field::Path("/a?b".into()),
        ] {
            fields.add(field);
        }
        for field in added {
            fields.add(field);
        }
        match fields.is_malformed {
            true => None,
            false => fields.into_request(),
        }
    }

    #[test]
    fn a_request_is_read() {
        let read = request([Field::Authority("host:1".into()), regular("a", "b")]).unwrap();
        assert_eq!(read.uri().to_string(), "http://host:1/a?b");
        assert_eq!(
            (read.method(), &read.headers()["a"]),
            (&Method::POST, &HeaderValue::from_static("b"))
        );
        assert_eq!(request([]).unwrap().uri().to_string(), "/a?b");
    }

    #[test]
    fn what_breaks_a_rule_is_malformed() {
        for added in [
            vec![Field::Method(Method::GET)],
            vec![Field::Status(StatusCode::OK)],
            vec![Field::Protocol("websocket".into())],
            vec![Field::Authority("a b".into())],
            vec![regular("a", "b"), Field::Authority("host".into())],
            vec![regular("connection", "close")],
            vec![regular("keep-alive", "1")],
            vec![regular("te", "gzip")],
            vec![
                regular("content-length", "1"),
                regular("content-length", "2"),
            ],
        ] {
            assert!(request(added.clone()).is_none(), "{added:?}");
        }
        assert!(request([regular("te", "trailers")]).is_some());
        for (text, expected) in [
            ("12", Ok(Some(12))),
            ("+1", Err(NoNumber)),
            ("", Err(NoNumber)),
        ] {
            let mut fields = MessageFields::new(1);
            fields.add(regular("content-length", text));
            assert_eq!(fields.content_length(), expected);
        }
    }

    #[test]
    fn fields_beyond_the_most_are_not_kept() {
        let mut fields = MessageFields::new(3);
        for _ in 0..4 {
            assert!(!fields.is_too_many);
            fields.add(regular("a", "b"));
        }
        assert!(fields.is_too_many);
        assert_eq!(fields.regular.len(), 3);
    }

    #[test]
    fn a_response_has_a_status_alone() {
        let response = |fields: &[Field]| {
            let mut read = MessageFields::new(3);
            fields.iter().cloned().for_each(|field| read.add(field));
            read.into_response().map(|response| response.status())
        };
        assert_eq!(
            response(&[Field::Status(StatusCode::OK)]),
            Some(StatusCode::OK)
        );
        assert_eq!(response(&[]), None);
        let both = [Field::Status(StatusCode::OK), Field::Path("/".into())];
        assert_eq!(response(&both), None);
    }
}

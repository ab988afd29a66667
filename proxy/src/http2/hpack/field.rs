//! Fields, and their names.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::dynamic_table::OVERHEAD;

/// One decoded field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// `:authority`.
    Authority(Bytes),
    /// `:method`.
    Method(Method),
    /// `:path`.
    Path(Bytes),
    /// `:scheme`.
    Scheme(Bytes),
    /// `:protocol` (RFC 8441).
    Protocol(Bytes),
    /// `:status`.
    Status(StatusCode),
    /// A field that is not a pseudo-field.
    Regular(HeaderName, HeaderValue),
}

/// The name of a field.
#[derive(Clone, Debug)]
pub(super) enum Name {
    Authority,
    Method,
    Path,
    Scheme,
    Protocol,
    Status,
    Regular(HeaderName),
    /// It is not allowed in HTTP/2. Its length.
    Malformed(usize),
}

impl Field {
    /// What it counts in a header list and in a table.
    #[inline]
    pub(super) fn size(&self) -> usize {
        OVERHEAD
            + match self {
                Self::Authority(value) => ":authority".len() + value.len(),
                Self::Method(method) => ":method".len() + method.as_str().len(),
                Self::Path(value) => ":path".len() + value.len(),
                Self::Scheme(value) => ":scheme".len() + value.len(),
                Self::Protocol(value) => ":protocol".len() + value.len(),
                Self::Status(_) => ":status".len() + 3,
                Self::Regular(name, value) => name.as_str().len() + value.len(),
            }
    }

    pub(super) fn name(&self) -> Name {
        match self {
            Self::Authority(_) => Name::Authority,
            Self::Method(_) => Name::Method,
            Self::Path(_) => Name::Path,
            Self::Scheme(_) => Name::Scheme,
            Self::Protocol(_) => Name::Protocol,
            Self::Status(_) => Name::Status,
            Self::Regular(name, _) => Name::Regular(name.clone()),
        }
    }
}

impl Name {
    /// The name that is written out as `text`. Other names are not allowed in HTTP/2 (RFC 9113, 8.2.1
    /// and 8.3).
    pub(super) fn read(text: &[u8]) -> Self {
        match text {
            b":authority" => Self::Authority,
            b":method" => Self::Method,
            b":path" => Self::Path,
            b":scheme" => Self::Scheme,
            b":protocol" => Self::Protocol,
            b":status" => Self::Status,
            // Refuses colons, as well as uppercase letters.
            _ => {
                HeaderName::from_lowercase(text).map_or(Self::Malformed(text.len()), Self::Regular)
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Authority => ":authority".len(),
            Self::Method => ":method".len(),
            Self::Path => ":path".len(),
            Self::Scheme => ":scheme".len(),
            Self::Protocol => ":protocol".len(),
            Self::Status => ":status".len(),
            Self::Regular(name) => name.as_str().len(),
            Self::Malformed(length) => *length,
        }
    }
}

/// A value that owns its memory. The most common ones need none: whoever clones those counts no
/// references.
pub(super) fn owned(value: &[u8]) -> Bytes {
    let common: &'static [u8] = match value {
        b"" => b"",
        b"*/*" => b"*/*",
        b"0" => b"0",
        b"application/grpc" => b"application/grpc",
        b"application/grpc+proto" => b"application/grpc+proto",
        b"application/json" => b"application/json",
        b"gzip" => b"gzip",
        b"gzip, deflate" => b"gzip, deflate",
        b"gzip, deflate, br" => b"gzip, deflate, br",
        b"http" => b"http",
        b"https" => b"https",
        b"identity" => b"identity",
        b"identity, deflate, gzip" => b"identity, deflate, gzip",
        b"identity,deflate,gzip" => b"identity,deflate,gzip",
        b"no-cache" => b"no-cache",
        b"text/event-stream" => b"text/event-stream",
        b"text/event-stream; charset=utf-8" => b"text/event-stream; charset=utf-8",
        b"trailers" => b"trailers",
        b"uvicorn" => b"uvicorn",
        _ => return Bytes::copy_from_slice(value),
    };
    Bytes::from_static(common)
}

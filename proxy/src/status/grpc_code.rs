//! gRPC status codes, and how they are written into header fields.

use std::fmt::Write;

use http::{HeaderName, HeaderValue};

use crate::message::{HeaderMap, Trailers};

/// The field with the code.
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// The field with the message.
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// How a gRPC call ended (grpc.github.io/grpc/core/md_doc_statuscodes.html). The discriminants are
/// the protocol's numbers.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcCode {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl GrpcCode {
    /// All codes, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The code in the header of a response without a body. A missing or unknown code is `Unknown`, as
    /// the protocol says.
    #[must_use]
    pub fn of(fields: &HeaderMap) -> Self {
        Self::of_value(fields.get(GRPC_STATUS))
    }

    /// The code in these trailers.
    #[must_use]
    pub fn of_trailers(trailers: &Trailers) -> Self {
        Self::of_value(trailers.get(GRPC_STATUS))
    }

    fn of_value(value: Option<&HeaderValue>) -> Self {
        value
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok())
            .and_then(|number| Self::ALL.get(number).copied())
            .unwrap_or(Self::Unknown)
    }

    /// Whether these fields contain a code.
    #[must_use]
    pub fn is_in(fields: &HeaderMap) -> bool {
        fields.contains_key(GRPC_STATUS)
    }

    /// The names that Go and Seldon's metrics use.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Cancelled => "Canceled",
            Self::Unknown => "Unknown",
            Self::InvalidArgument => "InvalidArgument",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::PermissionDenied => "PermissionDenied",
            Self::ResourceExhausted => "ResourceExhausted",
            Self::FailedPrecondition => "FailedPrecondition",
            Self::Aborted => "Aborted",
            Self::OutOfRange => "OutOfRange",
            Self::Unimplemented => "Unimplemented",
            Self::Internal => "Internal",
            Self::Unavailable => "Unavailable",
            Self::DataLoss => "DataLoss",
            Self::Unauthenticated => "Unauthenticated",
        }
    }
}

/// Writes a status into trailers, or into the header of a response without a body.
pub fn write_status(
    fields: &mut impl Extend<(HeaderName, HeaderValue)>,
    code: GrpcCode,
    message: &str,
) {
    fields.extend([(GRPC_STATUS, HeaderValue::from(code as u16))]);
    if !message.is_empty()
        && let Ok(message) = HeaderValue::try_from(percent_encoded(message))
    {
        fields.extend([(GRPC_MESSAGE, message)]);
    }
}

/// `Percent-Encoded` of the gRPC protocol: printable ASCII other than `%` stays as it is.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | ..=0x1f | 0x7f.. => {
                // Writing to a String cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
            _ => encoded.push(char::from(byte)),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_numbered_as_in_the_protocol() {
        for (number, code) in GrpcCode::ALL.iter().enumerate() {
            assert_eq!(*code as usize, number);
        }
    }

    #[test]
    fn status_is_read_and_written() {
        let mut fields = HeaderMap::new();
        assert_eq!(
            (GrpcCode::of(&fields), GrpcCode::is_in(&fields)),
            (GrpcCode::Unknown, false)
        );
        write_status(&mut fields, GrpcCode::NotFound, "100 % of \"é\"\n");
        assert_eq!(fields[GRPC_STATUS], "5");
        assert_eq!(fields[GRPC_MESSAGE], "100 %25 of \"%C3%A9\"%0A");
        assert_eq!(
            (GrpcCode::of(&fields), GrpcCode::is_in(&fields)),
            (GrpcCode::NotFound, true)
        );
        fields.insert(GRPC_STATUS, HeaderValue::from_static("99"));
        assert_eq!(GrpcCode::of(&fields), GrpcCode::Unknown);
    }
}

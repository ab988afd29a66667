//! Which of the header fields that matter to a proxy a message has.

use crate::message::HeaderMap;

/// The fields that a message has, as bits: reading each name once costs less than searching for
/// each of these fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    once: u16,
    again: u16,
}

impl Fields {
    pub(super) const CONNECTION: u16 = 1;
    pub(super) const TRANSFER_ENCODING: u16 = 1 << 1;
    pub(super) const EXPECT: u16 = 1 << 2;
    pub(super) const INTERNAL: u16 = 1 << 3;
    pub(super) const COOKIE: u16 = 1 << 4;
    pub(super) const FORWARDED_FOR: u16 = 1 << 5;
    pub(super) const FORWARDED_PROTO: u16 = 1 << 6;
    pub(super) const FORWARDED_HOST: u16 = 1 << 7;
    pub(super) const REQUEST_ID: u16 = 1 << 8;
    /// Any field that belongs to one connection, other than `connection` and `te`.
    pub(super) const HOP_BY_HOP: u16 = 1 << 9;
    pub(super) const UPGRADE: u16 = 1 << 10;
    pub(super) const HOST: u16 = 1 << 11;
    pub(super) const CONTENT_LENGTH: u16 = 1 << 12;
    /// The field that names the model.
    pub(super) const MODEL: u16 = 1 << 13;
    /// A field that every gRPC call has.
    pub(super) const TE: u16 = 1 << 14;

    /// The fields in `headers`. Fields that are removed later still count as present.
    pub(super) fn look(headers: &HeaderMap) -> Self {
        let mut fields = Self { once: 0, again: 0 };
        for name in headers.iter().map(|(name, _)| name) {
            let one = Self::of(name.as_str());
            fields.again |= fields.once & one;
            fields.once |= one;
        }
        fields
    }

    pub(super) fn of(name: &str) -> u16 {
        match name {
            "connection" => Self::CONNECTION,
            "content-length" => Self::CONTENT_LENGTH,
            "host" => Self::HOST,
            "transfer-encoding" => Self::TRANSFER_ENCODING | Self::HOP_BY_HOP,
            "expect" => Self::EXPECT,
            "seldon-internal-model" => Self::INTERNAL,
            "seldon-model" => Self::MODEL,
            "cookie" => Self::COOKIE,
            "x-forwarded-for" => Self::FORWARDED_FOR,
            "x-forwarded-proto" => Self::FORWARDED_PROTO,
            "x-forwarded-host" => Self::FORWARDED_HOST,
            "x-request-id" => Self::REQUEST_ID,
            "upgrade" => Self::UPGRADE | Self::HOP_BY_HOP,
            "te" => Self::TE,
            "keep-alive" | "proxy-connection" | "proxy-authenticate" | "proxy-authorization" => {
                Self::HOP_BY_HOP
            }
            _ => 0,
        }
    }

    /// Whether any of these fields is present.
    pub(super) fn has(self, fields: u16) -> bool {
        self.once & fields != 0
    }

    /// Whether any of these fields has several lines.
    pub(super) fn has_several(self, fields: u16) -> bool {
        self.again & fields != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{pipeline::headers, protocol::model_name::MODEL_HEADER};

    #[test]
    fn fields_are_told_apart_from_none_and_from_several() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "a"),
            ("x-a", "b"),
            ("cookie", "c"),
            ("cookie", "d"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let fields = Fields::look(&headers);
        assert!(fields.has(Fields::HOST) && !fields.has_several(Fields::HOST));
        assert!(fields.has(Fields::COOKIE) && fields.has_several(Fields::COOKIE));
        assert!(!fields.has(Fields::CONNECTION | Fields::HOP_BY_HOP | Fields::MODEL));
    }

    #[test]
    fn names_are_those_of_the_constants() {
        assert_eq!(Fields::of(MODEL_HEADER.as_str()), Fields::MODEL);
        assert_eq!(
            Fields::of(headers::X_REQUEST_ID.as_str()),
            Fields::REQUEST_ID
        );
    }
}

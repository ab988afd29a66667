//! Values of fields that are lists.

use http::HeaderValue;

/// The members of a list (RFC 9110, 5.6.1). None if it is not ASCII.
pub(super) fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let text = Some(value.as_bytes()).filter(|text| text.is_ascii());
    let members = text.unwrap_or_default().split(|&byte| byte == b',');
    members.map(<[u8]>::trim_ascii)
}

/// Whether a list has the member `token`, in any case.
pub(super) fn has_token(value: &HeaderValue, token: &[u8]) -> bool {
    tokens(value).any(|member| member.eq_ignore_ascii_case(token))
}

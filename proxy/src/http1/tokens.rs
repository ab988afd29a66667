//! Values of fields: lists and numbers.

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

/// A number that consists of digits only; `parse` would also accept a sign.
pub(super) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| match byte {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

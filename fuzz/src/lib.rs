//! What fuzz targets have in common.

mod http2;
mod proxied;

use tailback::protocol::peek::Progress;

pub use self::{
    http2::{Frame, pieces},
    proxied::{Proxied, proxied},
};

/// What a scanner finds in `bytes`.
///
/// # Panics
/// If another one finds something else in the same bytes, cut in two at some place.
pub fn scan<S>(
    new: impl Fn() -> S,
    feed: impl Fn(&mut S, &[u8]) -> Progress,
    bytes: &[u8],
    at: u16,
) -> Progress {
    let whole = feed(&mut new(), bytes);
    let [a, b] = cut(bytes, at);
    let mut scanner = new();
    let pieces = match feed(&mut scanner, a) {
        Progress::More => feed(&mut scanner, b),
        end => end,
    };
    assert_eq!(whole, pieces, "{}", String::from_utf8_lossy(bytes));
    whole
}

/// `bytes` in two pieces, cut at some place.
#[must_use]
pub fn cut(bytes: &[u8], at: u16) -> [&[u8]; 2] {
    let (first, second) = bytes.split_at(usize::from(at) % (bytes.len() + 1));
    [first, second]
}

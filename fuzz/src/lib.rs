//! What fuzz targets have in common.

mod proxied;

pub use self::proxied::{Proxied, proxied};

/// `bytes` in two pieces, cut at some place.
#[must_use]
pub fn cut(bytes: &[u8], at: u16) -> [&[u8]; 2] {
    let (first, second) = bytes.split_at(usize::from(at) % (bytes.len() + 1));
    [first, second]
}

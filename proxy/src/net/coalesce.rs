//! Sends a short message in one piece: small slices, such as a message's header and body, are
//! copied together and sent with one plain write, which costs less than a gathering `writev`.
//! Larger slices are gathered without copying.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::AsyncWrite;

/// Most bytes that are copied together. Up to this size, copying is cheaper than gathering.
const SMALL: usize = 2048;

/// Writes `slices`: copied together if they are small, gathered otherwise.
pub(crate) fn poll_write<W: AsyncWrite>(
    writer: Pin<&mut W>,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    match slices {
        [] => writer.poll_write(cx, &[]),
        [only] => writer.poll_write(cx, only),
        _ => {
            let mut together = [0u8; SMALL];
            match copy(slices, &mut together) {
                Some(length) => writer.poll_write(cx, &together[..length]),
                None => writer.poll_write_vectored(cx, slices),
            }
        }
    }
}

/// Copies all slices into `together`, and returns their total length; `None` if they do not fit.
fn copy(slices: &[IoSlice<'_>], together: &mut [u8; SMALL]) -> Option<usize> {
    let length: usize = slices.iter().map(|slice| slice.len()).sum();
    if length > SMALL {
        return None;
    }
    let mut end = 0;
    for slice in slices {
        together[end..end + slice.len()].copy_from_slice(slice);
        end += slice.len();
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_what_fits_and_nothing_else() {
        let mut together = [0; SMALL];
        let (head, body) = (b"head".as_slice(), [7u8; SMALL]);
        let short = [IoSlice::new(head), IoSlice::new(&body[..3])];
        assert_eq!(copy(&short, &mut together), Some(7));
        assert_eq!(&together[..7], b"head\x07\x07\x07");
        let long = [IoSlice::new(head), IoSlice::new(&body)];
        assert_eq!(copy(&long, &mut together), None);
    }
}

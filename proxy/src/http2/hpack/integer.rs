//! Integers (RFC 7541, 5.1).

use super::CompressionError;

/// The most bytes that may follow the prefix. Five hold any 32 bits.
const MOST_BYTES: usize = 5;

/// The integer whose prefix is in the bits `mask` of `first`. What follows the prefix is taken from
/// `input`.
#[inline(always)]
pub(super) fn read(first: u8, mask: u8, input: &mut &[u8]) -> Result<usize, CompressionError> {
    let prefix = first & mask;
    if prefix != mask {
        return Ok(usize::from(prefix));
    }
    read_rest(mask, input)
}

/// The integer whose prefix is full.
fn read_rest(prefix: u8, input: &mut &[u8]) -> Result<usize, CompressionError> {
    let mut value = u64::from(prefix);
    for place in 0..MOST_BYTES {
        let (&byte, rest) = input.split_first().ok_or(CompressionError)?;
        *input = rest;
        value += u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).map_err(|_| CompressionError)?;
            return usize::try_from(value).map_err(|_| CompressionError);
        }
    }
    Err(CompressionError)
}

/// Writes `value` with a prefix in the bits `mask`; `pattern` are the bits before it.
#[inline(always)]
pub(super) fn write(value: usize, mask: u8, pattern: u8, out: &mut Vec<u8>) {
    if value < usize::from(mask) {
        out.push(pattern | value as u8);
    } else {
        out.push(pattern | mask);
        write_rest(value - usize::from(mask), out);
    }
}

fn write_rest(mut rest: usize, out: &mut Vec<u8>) {
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(bytes: &[u8], mask: u8) -> Result<(usize, usize), CompressionError> {
        let mut input = &bytes[1..];
        let value = read(bytes[0], mask, &mut input)?;
        Ok((value, input.len()))
    }

    #[test]
    fn the_examples_of_the_rfc_hold() {
        // RFC 7541, C.1.1 to C.1.3.
        for (value, mask, bytes) in [
            (10, 0x1f, &[0x0a][..]),
            (1337, 0x1f, &[0x1f, 0x9a, 0x0a]),
            (42, 0xff, &[0x2a]),
        ] {
            let mut out = Vec::new();
            write(value, mask, 0, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(read_all(bytes, mask), Ok((value, 0)));
        }
    }

    #[test]
    fn an_integer_that_is_too_large_too_long_or_cut_is_refused() {
        let largest = [0x7f, 0x80, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(read_all(&largest, 0x7f), Ok((u32::MAX as usize, 0)));
        let larger = [0x7f, 0x81, 0xff, 0xff, 0xff, 0x0f];
        let longer = [0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
        for bytes in [&larger[..], &longer, &largest[..5], &largest[..1]] {
            assert_eq!(read_all(bytes, 0x7f), Err(CompressionError));
        }
        // Five bytes may hold zeros.
        assert_eq!(
            read_all(&[0x7f, 0x80, 0x80, 0x80, 0x80, 0x00], 0x7f),
            Ok((0x7f, 0))
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value: u32, bits in 1u32..=8, follows: u8) {
            let mask = u8::MAX >> (8 - bits);
            let mut out = Vec::new();
            write(value as usize, mask, !mask, &mut out);
            prop_assert_eq!(out[0] & !mask, !mask);
            out.push(follows);
            prop_assert_eq!(read_all(&out, mask), Ok((value as usize, 1)));
        }
    }
}

//! Looks for bytes, many at a time.

/// How many of `bytes` precede the first one that is at most `MOST`, or is `OTHER`.
pub(super) fn before<const MOST: u8, const OTHER: u8>(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((block, others)) = rest.split_first_chunk() {
        let found = found::<MOST, OTHER>(*block);
        if found != 0 {
            return bytes.len() - rest.len() + found.trailing_zeros() as usize;
        }
        rest = others;
    }
    let found = rest.iter().position(|byte| is_found::<MOST, OTHER>(*byte));
    bytes.len() - rest.len() + found.unwrap_or(rest.len())
}

fn is_found<const MOST: u8, const OTHER: u8>(byte: u8) -> bool {
    byte <= MOST || byte == OTHER
}

/// A bit for each byte that is looked for, the lowest for the first one.
#[cfg(target_arch = "x86_64")]
fn found<const MOST: u8, const OTHER: u8>(block: [u8; 16]) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8,
    };
    // SAFETY: all of these are SSE2, which is a part of x86-64. The load reads the 16 bytes of
    // `block`, which need no alignment for it.
    unsafe {
        let block = _mm_loadu_si128(block.as_ptr().cast());
        let is_low = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(MOST as i8)), block);
        let is_other = _mm_cmpeq_epi8(block, _mm_set1_epi8(OTHER as i8));
        _mm_movemask_epi8(_mm_or_si128(is_low, is_other)) as u32
    }
}

#[cfg(not(target_arch = "x86_64"))]
use one_by_one as found;

/// As [`found`], for all processors.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn one_by_one<const MOST: u8, const OTHER: u8>(block: [u8; 16]) -> u32 {
    let bit = |(at, byte): (usize, &u8)| u32::from(is_found::<MOST, OTHER>(*byte)) << at;
    block.iter().enumerate().map(bit).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_is_found_wherever_it_is(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let first = bytes.iter().position(|byte| *byte <= 0x1f || *byte == 0x7f);
            prop_assert_eq!(before::<0x1f, 0x7f>(&bytes), first.unwrap_or(bytes.len()));
        }

        #[test]
        fn all_of_a_block_are_found(block: [u8; 16]) {
            prop_assert_eq!(found::<b' ', b':'>(block), one_by_one::<b' ', b':'>(block));
        }
    }

    #[test]
    fn each_byte_is_found_or_passed() {
        for byte in 0..=u8::MAX {
            for at in 0..20 {
                let mut bytes = [b'a'; 20];
                bytes[at] = byte;
                let expected = if byte <= b' ' || byte == b':' { at } else { 20 };
                assert_eq!(before::<b' ', b':'>(&bytes), expected, "{byte} at {at}");
            }
        }
    }
}

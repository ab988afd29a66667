//! Reads Huffman codes (RFC 7541, 5.2).
//!
//! Eight bits at a time: nearly all symbols of names and values have codes of at most that length.

use bytes::BytesMut;

use super::{
    CompressionError,
    huffman_table::{SHORT_CODES, long_code},
};

/// The symbols between two looks at the input: 56 bits are there, and each takes at most 8.
const STRETCH: usize = 7;

/// The most bytes that `coded` bytes can become: the shortest codes have 5 bits. And room for the
/// last stretch.
pub(super) const fn most_decoded(coded: usize) -> usize {
    coded * 8 / 5 + 1 + STRETCH
}

/// Appends to `out` what `coded` says. After an error `out` holds nothing of use.
pub(super) fn decode(coded: &[u8], out: &mut BytesMut) -> Result<(), CompressionError> {
    let start = out.len();
    out.resize(start + most_decoded(coded.len()), 0);
    let decoded = decode_to(coded, &mut out[start..])?;
    out.truncate(start + decoded);
    Ok(())
}

/// Bits of the input. All are inverted, because padding is ones, while shifts bring zeros.
struct Bits<'a> {
    /// The last eight bytes of the input, if it has so many.
    last: Option<u64>,
    input: &'a [u8],
    /// The next bits, at the left.
    next: u64,
    /// How many have been taken into `next` and are still there. What is behind them also comes from
    /// the input, or is zeros at its end. Less than none: some of those zeros were used.
    count: i32,
}

impl Bits<'_> {
    /// Takes more bits, so that at least 56 are there, or the last ones.
    #[inline(always)]
    fn fill(&mut self) {
        if let Some(word) = self.input.first_chunk() {
            let bytes = (63 - self.count) / 8;
            self.take(!u64::from_be_bytes(*word), bytes as usize);
        } else if !self.input.is_empty() {
            self.fill_last();
        }
    }

    fn fill_last(&mut self) {
        let left = self.input.len();
        let word = match self.last {
            Some(last) => last << (64 - 8 * left),
            None => {
                let places = (0..8).rev().map(|place| 8 * place);
                let bytes = self.input.iter().zip(places);
                bytes.fold(0, |word, (byte, place)| word | u64::from(!byte) << place)
            }
        };
        let bytes = (64 - self.count) / 8;
        self.take(word, left.min(bytes as usize));
    }

    /// Takes the next `bytes` of the input, with which `word` begins.
    #[inline(always)]
    fn take(&mut self, word: u64, bytes: usize) {
        self.next |= word >> self.count;
        self.count += 8 * bytes as i32;
        self.input = self.input.get(bytes..).unwrap_or_default();
    }

    #[inline(always)]
    fn skip(&mut self, bits: u32) {
        self.next <<= bits;
        self.count -= bits as i32;
    }

    /// Takes a symbol whose code is longer than 8 bits. `None`: it is EOS.
    fn long(&mut self) -> Option<u8> {
        if self.count < 30 {
            self.fill();
        }
        let (symbol, bits) = long_code(!(self.next >> 32) as u32)?;
        self.skip(bits);
        Some(symbol)
    }

    /// Whether what remains is padding: less than a byte, and the beginning of EOS (RFC 7541, 5.2).
    fn is_padding(&self) -> bool {
        self.next == 0 && self.input.is_empty() && self.count < 8
    }
}

/// Writes to `out` what `coded` says. Returns its length. `out` must have room for `most_decoded`
/// bytes.
fn decode_to(coded: &[u8], out: &mut [u8]) -> Result<usize, CompressionError> {
    let mut at = 0;
    let mut bits = Bits {
        last: coded.last_chunk().map(|last| !u64::from_be_bytes(*last)),
        input: coded,
        next: 0,
        count: 0,
    };
    'stretch: while bits.count >= 0 {
        bits.fill();
        let room = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut);
        let room: &mut [u8; STRETCH] = room.ok_or(CompressionError)?;
        for to in room {
            let short = SHORT_CODES[(bits.next >> 56) as usize];
            if short.bits == 0 {
                if bits.is_padding() {
                    let is_whole = bits.count >= 0;
                    return is_whole.then_some(at).ok_or(CompressionError);
                }
                *to = bits.long().ok_or(CompressionError)?;
                at += 1;
                continue 'stretch;
            }
            *to = short.symbol;
            at += 1;
            bits.skip(u32::from(short.bits));
        }
    }
    // The last code is cut.
    Err(CompressionError)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::{super::huffman_table::codes, *};

    /// The bits of `text`, without padding.
    fn bits(text: &[u8]) -> Vec<bool> {
        let codes = codes();
        let code = |&symbol: &u8| codes[usize::from(symbol)];
        let bits = |(code, bits): (u32, u32)| (0..bits).rev().map(move |bit| code >> bit & 1 == 1);
        text.iter().map(code).flat_map(bits).collect()
    }

    fn pack(bits: &[bool]) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            let padded = bits.iter().copied().chain(std::iter::repeat(true));
            padded
                .take(8)
                .fold(0, |byte, bit| byte << 1 | u8::from(bit))
        };
        bits.chunks(8).map(byte).collect()
    }

    pub(in super::super) fn encode(text: &[u8]) -> Vec<u8> {
        pack(&bits(text))
    }

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, CompressionError> {
        let mut out = BytesMut::from(&b"before"[..]);
        decode(coded, &mut out)?;
        Ok(out[6..].to_vec())
    }

    #[test]
    fn each_symbol_in_each_place_is_read() {
        for symbol in 0..=u8::MAX {
            for before in 0..20 {
                for behind in 0..12 {
                    let mut text = vec![b'a'; before];
                    text.push(symbol);
                    text.extend(vec![b'-'; behind]);
                    assert_eq!(decoded(&encode(&text)), Ok(text));
                }
            }
        }
    }

    #[test]
    fn padding_of_a_byte_or_of_zeros_is_refused() {
        for before in 0..20 {
            let text = vec![b'a'; before];
            let coded = encode(&text);
            assert_eq!(decoded(&coded).as_ref(), Ok(&text));
            let mut longer = coded.clone();
            longer.push(0xff);
            assert_eq!(decoded(&longer), Err(CompressionError), "{before}");
            let mut zeros = bits(&text);
            let padding = zeros.len().next_multiple_of(8) - zeros.len();
            // From five zeros on they are symbols.
            if (1..5).contains(&padding) {
                zeros.resize(zeros.len() + padding, false);
                assert_eq!(decoded(&pack(&zeros)), Err(CompressionError), "{before}");
            }
        }
    }

    #[test]
    fn eos_is_refused_wherever_it_stands() {
        for before in 0..20 {
            for behind in 0..20 {
                let mut all = bits(&vec![b'a'; before]);
                all.extend([true; 30]);
                all.extend(bits(&vec![b'a'; behind]));
                assert_eq!(decoded(&pack(&all)), Err(CompressionError));
            }
        }
    }

    /// Reads bit by bit.
    fn slowly_decoded(coded: &[u8]) -> Result<Vec<u8>, CompressionError> {
        let codes = codes();
        let (mut text, mut code, mut length) = (Vec::new(), 0u32, 0);
        for byte in coded {
            for bit in (0..8).rev() {
                code = code << 1 | u32::from(byte >> bit & 1);
                length += 1;
                if let Some(symbol) = codes.iter().position(|&it| it == (code, length)) {
                    text.push(symbol as u8);
                    (code, length) = (0, 0);
                } else if length == 30 {
                    return Err(CompressionError);
                }
            }
        }
        let is_padding = length < 8 && code == (1 << length) - 1;
        is_padding.then_some(text).ok_or(CompressionError)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 20 } else { 2000 }))]
        #[test]
        fn any_text_is_read(text: Vec<u8>) {
            prop_assert_eq!(decoded(&encode(&text)), Ok(text));
        }

        #[test]
        fn any_bytes_are_read_as_bit_by_bit(
            coded in prop::collection::vec(prop_oneof![any::<u8>(), Just(0xff)], 0..40),
        ) {
            prop_assert_eq!(decoded(&coded), slowly_decoded(&coded));
        }
    }
}

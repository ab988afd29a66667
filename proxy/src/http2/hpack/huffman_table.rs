//! The code of strings (RFC 7541, Appendix B).
//!
//! The code is canonical: in the order of their codes, symbols have ever longer ones, and each code is
//! the one before it plus one, with zeros behind it where it is longer. So the order and the number
//! of codes of each length say everything.

/// The symbols in the order of their codes. Behind them comes EOS, of 30 bits, all ones.
#[rustfmt::skip]
const SYMBOLS: [u8; 256] = [
    48, 49, 50, 97, 99, 101, 105, 111, 115, 116, 32, 37, 45, 46, 47, 51,
    52, 53, 54, 55, 56, 57, 61, 65, 95, 98, 100, 102, 103, 104, 108, 109,
    110, 112, 114, 117, 58, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76,
    77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 89, 106, 107, 113, 118,
    119, 120, 121, 122, 38, 42, 44, 59, 88, 90, 33, 34, 40, 41, 63, 39,
    43, 124, 35, 62, 0, 36, 64, 91, 93, 126, 94, 125, 60, 96, 123, 92,
    195, 208, 128, 130, 131, 162, 184, 194, 224, 226, 153, 161, 167, 172, 176, 177,
    179, 209, 216, 217, 227, 229, 230, 129, 132, 133, 134, 136, 146, 154, 156, 160,
    163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190, 196, 198, 228, 232,
    233, 1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157,
    158, 165, 166, 168, 174, 175, 180, 182, 183, 188, 191, 197, 231, 239, 9, 142,
    144, 145, 148, 159, 171, 206, 215, 225, 236, 237, 199, 207, 234, 235, 192, 193,
    200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243, 255, 203, 204, 211,
    212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252, 253, 254,
    2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20,
    21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 127, 220, 249, 10, 13, 22,
];

/// Each length of a code, in bits, and the number of symbols that have one of that length.
#[rustfmt::skip]
const LENGTHS: [(u32, usize); 21] = [
    (5, 10), (6, 26), (7, 32), (8, 6), (10, 5), (11, 3), (12, 2), (13, 6), (14, 2), (15, 3), (19, 3), (20, 8), (21, 13), (22, 26), (23, 29), (24, 12), (25, 4), (26, 15), (27, 19), (28, 29), (30, 3),
];

/// How many of `LENGTHS` are of at most 8 bits.
const SHORT: usize = 4;
/// How many are longer.
const LONG: usize = LENGTHS.len() - SHORT;

/// A code of at most 8 bits: its symbol, and its length in bits. 0 bits: the code is longer.
#[derive(Clone, Copy)]
pub(super) struct Short {
    pub(super) symbol: u8,
    pub(super) bits: u8,
}

/// The code with which the next 8 bits begin. All bits are inverted.
pub(super) static SHORT_CODES: [Short; 256] = short_codes();

const fn short_codes() -> [Short; 256] {
    let mut codes = [Short { symbol: 0, bits: 0 }; 256];
    let (mut length, mut symbol, mut next) = (0, 0, 0);
    while length < SHORT {
        let (bits, count) = LENGTHS[length];
        let end = symbol + count;
        while symbol < end {
            // All bytes that begin with this code.
            let last = next + (1 << (8 - bits));
            while next < last {
                codes[0xff - next] = Short {
                    symbol: SYMBOLS[symbol],
                    bits: bits as u8,
                };
                next += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    codes
}

/// The longer codes. All codes are at the left of 32 bits here.
struct Long {
    /// For each length the first code that is longer; the last of them is EOS.
    ends: [u32; LONG],
    /// For each length the first code.
    firsts: [u32; LONG],
    /// For each length the index of its first symbol in `SYMBOLS`.
    symbols: [u8; LONG],
    bits: [u8; LONG],
}

static LONG_CODES: Long = long_codes();

const fn long_codes() -> Long {
    let mut long = Long {
        ends: [0; LONG],
        firsts: [0; LONG],
        symbols: [0; LONG],
        bits: [0; LONG],
    };
    let (mut length, mut symbol, mut next) = (0, 0, 0);
    while length < LENGTHS.len() {
        let (bits, count) = LENGTHS[length];
        let end = next + ((count as u32) << (32 - bits));
        if length >= SHORT {
            let at = length - SHORT;
            long.ends[at] = end;
            long.firsts[at] = next;
            long.symbols[at] = symbol as u8;
            long.bits[at] = bits as u8;
        }
        symbol += count;
        next = end;
        length += 1;
    }
    long
}

/// The code with which `window` begins, of more than 8 bits: its symbol, and its length in bits.
/// `None`: it is EOS.
pub(super) fn long_code(window: u32) -> Option<(u8, u32)> {
    let long = &LONG_CODES;
    // Counts without a branch, so that the compiler compares several at a time.
    let at: usize = long
        .ends
        .iter()
        .map(|&end| usize::from(window >= end))
        .sum();
    let bits = u32::from(*long.bits.get(at)?);
    let nth = window.wrapping_sub(long.firsts[at]) >> (32 - bits);
    let symbol = usize::from(long.symbols[at]) + nth as usize;
    Some((*SYMBOLS.get(symbol)?, bits))
}

/// The code of each symbol and its length in bits, for tests.
#[cfg(test)]
pub(super) fn codes() -> Vec<(u32, u32)> {
    let mut codes = vec![(0, 0); 256];
    let mut symbols = SYMBOLS.iter();
    let mut next = 0u64;
    for (bits, count) in LENGTHS {
        for symbol in symbols.by_ref().take(count) {
            codes[usize::from(*symbol)] = ((next >> (32 - bits)) as u32, bits);
            next += 1 << (32 - bits);
        }
    }
    assert_eq!(next, 0xffff_fffc, "EOS");
    codes
}

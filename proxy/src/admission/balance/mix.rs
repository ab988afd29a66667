//! Mixes two hashes into one.

/// Two different odd constants (digits of pi), so that the order of the hashes matters.
const FIRST: u64 = 0x243f_6a88_85a3_08d3;
const SECOND: u64 = 0x1319_8a2e_0370_7345;

/// The hash of two hashes: their product of 128 bits, folded to 64 bits, as wyhash mixes.
#[must_use]
pub fn mix(first: u64, second: u64) -> u64 {
    let product = u128::from(first ^ FIRST) * u128::from(second ^ SECOND);
    (product as u64) ^ ((product >> 64) as u64)
}

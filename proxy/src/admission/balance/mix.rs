//! Two hashes made one.

/// Odd constants, so that the two are told apart (digits of pi).
const FIRST: u64 = 0x243f_6a88_85a3_08d3;
const SECOND: u64 = 0x1319_8a2e_0370_7345;

/// By one wide multiplication, folded, as wyhash mixes.
#[must_use]
pub fn mix(first: u64, second: u64) -> u64 {
    let product = u128::from(first ^ FIRST) * u128::from(second ^ SECOND);
    (product as u64) ^ ((product >> 64) as u64)
}

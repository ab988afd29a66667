//! Chained block hashes: the hash of a block identifies the prompt from its beginning up to the
//! end of that block. So two prompts have equal hashes as far as they are equal.

use rapidhash::v3::rapidhash_v3;

use crate::admission::balance::mix::mix;

/// The hashes of the complete blocks of a prompt, in order. `parts` are concatenated; an
/// incomplete last block is not hashed. With a block length of 0, there are no hashes.
#[must_use]
pub fn chain<'a>(parts: impl IntoIterator<Item = &'a [u8]>, block_bytes: usize) -> Vec<u64> {
    let mut hashes = Vec::new();
    if block_bytes == 0 {
        return hashes;
    }
    let mut last = 0;
    let mut add = |block: &[u8]| {
        last = mix(last, rapidhash_v3(block));
        hashes.push(last);
    };
    // The beginning of a block that continues in the next part.
    let mut begun: Vec<u8> = Vec::new();
    for mut part in parts {
        if !begun.is_empty() {
            let (more, rest) = part.split_at(part.len().min(block_bytes - begun.len()));
            begun.extend_from_slice(more);
            part = rest;
            if begun.len() < block_bytes {
                continue;
            }
            add(&begun);
            begun.clear();
        }
        let blocks = part.chunks_exact(block_bytes);
        begun.extend_from_slice(blocks.remainder());
        blocks.for_each(&mut add);
    }
    hashes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prompts_have_the_same_hashes_as_far_as_they_begin_alike() {
        let of = |text: &str| chain([text.as_bytes()], 4);
        let (a, b) = (of("aaaabbbbcccc"), of("aaaabbbbdddd"));
        assert_eq!(a[..2], b[..2]);
        assert_ne!(a[2], b[2]);
        // The same block after a different beginning.
        assert_ne!(of("aaaacccc")[1], of("bbbbcccc")[1]);
        assert_ne!(of("aaaaaaaa")[0], of("aaaaaaaa")[1]);
        assert!(of("aaa").is_empty());
        assert!(chain([&b"aaaa"[..]], 0).is_empty());
    }

    proptest! {
        #[test]
        fn cuts_between_parts_make_no_difference(
            text in proptest::collection::vec(any::<u8>(), 0..200),
            cuts in proptest::collection::vec(0usize..200, 0..6),
            block in 1usize..40,
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().filter(|&cut| cut <= text.len()).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let parts = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]);
            let whole = chain([&text[..]], block);
            prop_assert_eq!(whole.len(), text.len() / block);
            prop_assert_eq!(chain(parts, block), whole);
        }
    }
}

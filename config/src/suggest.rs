//! "Did you mean …?" for names that are almost right.

/// `; did you mean X?` with the likeliest of `candidates`, or nothing if none is near.
pub(crate) fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map_or_else(String::new, |near| format!("; did you mean {near}?"))
}

/// The likeliest of `candidates`, if any is near.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // A hostile name may be as long as a file; the distance costs length times length.
    if word.len() > 100 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        // One slip in three letters is still the same word.
        .filter(|(distance, candidate)| distance * 3 <= candidate.len().max(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Slips between two words; capitals, `-` and `_` are none.
fn distance(a: &str, b: &str) -> usize {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_'], "");
    strsim::osa_distance(&plain(a), &plain(b))
}

#[cfg(test)]
mod tests {
    use super::hint;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        let names = ["replicas", "minReplicas", "maxReplicas", "memory"];
        for (word, expected) in [
            ("replica", "; did you mean replicas?"),
            ("min_replicas", "; did you mean minReplicas?"),
            ("maxreplicas", "; did you mean maxReplicas?"),
            ("memroy", "; did you mean memory?"),
            ("colour", ""),
            ("", ""),
        ] {
            assert_eq!(hint(word, names), expected, "{word}");
        }
    }
}

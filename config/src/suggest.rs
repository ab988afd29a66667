//! Suggests similar names ("did you mean …?") for misspelt ones.

/// `; did you mean X?` with the most similar of `candidates`, or an empty text if none is
/// similar.
pub(crate) fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map_or_else(String::new, |near| format!("; did you mean {near}?"))
}

/// The most similar of `candidates`, if any is similar enough.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // A name may be as long as a file, and the cost grows with the square of its length.
    if word.len() > 100 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        // Up to one edit in three letters counts as similar.
        .filter(|(distance, candidate)| distance * 3 <= candidate.len().max(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// The edit distance of two words. Case, `-` and `_` do not count.
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

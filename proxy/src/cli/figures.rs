//! Formats numbers and times for people. The live page uses the same forms.

/// A count.
pub(super) fn count(value: u64) -> String {
    let number = value as f64;
    match value {
        0..1_000 => value.to_string(),
        1_000..9_950 => format!("{:.1}k", number / 1e3),
        9_950..999_500 => format!("{:.0}k", number / 1e3),
        999_500.. => format!("{:.1}M", number / 1e6),
    }
}

/// A rate per second.
pub(super) fn rate(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        ..9.95 => format!("{value:.1}"),
        _ => count(value.round() as u64),
    }
}

/// A duration in seconds.
pub(super) fn seconds(value: f64) -> String {
    match value {
        ..0.001 => "<1 ms".to_owned(),
        ..0.9995 => format!("{:.0} ms", value * 1e3),
        ..99.95 => format!("{value:.1} s"),
        _ => format!("{value:.0} s"),
    }
}

/// A duration in seconds; a placeholder if it is not known.
pub(super) fn some_seconds(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), seconds)
}

/// `text` on one line, without control characters, which a terminal would obey: the text comes
/// from elsewhere.
pub(super) fn plain(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_have_a_unit() {
        let counts = [
            (0, "0"),
            (999, "999"),
            (1_000, "1.0k"),
            (9_949, "9.9k"),
            (9_950, "10k"),
            (999_499, "999k"),
            (999_500, "1.0M"),
            (12_345_678, "12.3M"),
        ];
        for (value, expected) in counts {
            assert_eq!(count(value), expected);
        }
        for (value, expected) in [(0.0, "0"), (0.26, "0.3"), (9.94, "9.9"), (12.6, "13")] {
            assert_eq!(rate(value), expected);
        }
        for (value, expected) in [
            (0.0, "<1 ms"),
            (0.0014, "1 ms"),
            (0.25, "250 ms"),
            (0.9996, "1.0 s"),
            (12.34, "12.3 s"),
            (123.4, "123 s"),
        ] {
            assert_eq!(seconds(value), expected);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_left_out() {
        assert_eq!(plain("a\u{1b}[31mb\nc"), "a [31mb c");
    }
}

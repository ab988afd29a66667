//! Reads numbers with units, for manifests and variables alike.

use std::time::Duration;

/// Longest time, in seconds: some 31 years. A longer one could overflow an `Instant`.
const MAX_SECONDS: u64 = 1_000_000_000;

/// Reads seconds, such as `20` or `0.5`, without sign, exponent or unit.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u64 = whole.parse().ok().filter(|whole| *whole < MAX_SECONDS)?;
    // Digits after the ninth are cut.
    let nanos: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Some(Duration::new(whole, nanos))
}

/// The form of [`seconds_or_none`], for messages.
pub(crate) const SECONDS_OR_NONE: &str =
    "seconds above 0, such as 0.5 or 60, below 1000000000, or none";

/// Reads seconds above 0, or `none` for no limit.
pub(crate) fn seconds_or_none(text: &str) -> Option<Option<Duration>> {
    match text {
        "none" => Some(None),
        _ => seconds(text).filter(|seconds| !seconds.is_zero()).map(Some),
    }
}

/// Reads bytes as a Kubernetes quantity: `100Ki`, `1Gi`, `1.5G`, `512k`, `1e9`, `128974848`,
/// `500m`. Fractions of a byte are rounded up, as in Kubernetes.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // Kubernetes accepts `1.` and `.5`, but not `.` alone.
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // The value is `digits / 10^decimals * scale`. All of it fits u128, so nothing is rounded
    // early.
    let mut decimals = u32::try_from(fraction.len())
        .ok()
        .filter(|decimals| *decimals <= 18)?;
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let mut value: u128 = if digits.is_empty() {
        0
    } else {
        digits.parse().ok()?
    };
    let scale: u128 = match suffix {
        "" => 1,
        "m" => {
            decimals += 3;
            1
        }
        "k" | "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "P" => 1_000_000_000_000_000,
        "E" => 1_000_000_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "Pi" => 1 << 50,
        "Ei" => 1 << 60,
        _ => {
            let exponent: u32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            10u128.checked_pow(exponent)?
        }
    };
    value = value.checked_mul(scale)?;
    u64::try_from(value.div_ceil(10u128.checked_pow(decimals)?)).ok()
}

/// Writes bytes exactly, with the largest unit that fits: `100Ki`, `1536Mi`, `1000`.
pub(crate) fn show_bytes(bytes: u64) -> String {
    for (shift, suffix) in [(40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")] {
        if bytes != 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{suffix}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// Writes a duration in seconds: `20 s`, `0.5 s`.
pub(crate) fn show_seconds(duration: Duration) -> String {
    let (whole, nanos) = (duration.as_secs(), duration.subsec_nanos());
    if nanos == 0 {
        format!("{whole} s")
    } else {
        format!("{whole}.{} s", format!("{nanos:09}").trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_mean_what_kubernetes_says_they_mean() {
        for (text, expected) in [
            ("0", Some(0)),
            ("100Ki", Some(102_400)),
            ("1Gi", Some(1 << 30)),
            ("1.5Gi", Some(3 << 29)),
            ("1k", Some(1_000)),
            ("1K", Some(1_000)),
            ("128974848", Some(128_974_848)),
            ("129e6", Some(129_000_000)),
            ("129M", Some(129_000_000)),
            ("500m", Some(1)),
            ("1500m", Some(2)),
            (".5k", Some(500)),
            ("5.", Some(5)),
            ("16Ei", None),
            ("15Ei", Some(15 << 60)),
            ("", None),
            (".", None),
            ("1.2.3", None),
            ("-1", None),
            ("1 Gi", None),
            ("1gb", None),
            ("Gi", None),
            ("1e99", None),
            ("1e-3", None),
            ("99999999999999999999999999999999999999999999", None),
        ] {
            assert_eq!(bytes(text), expected, "{text:?}");
        }
    }

    #[test]
    fn seconds_may_have_decimals_and_nothing_else() {
        for (text, expected) in [
            ("20", Some(Duration::from_secs(20))),
            ("0.5", Some(Duration::from_millis(500))),
            ("1.0000000019", Some(Duration::new(1, 1))),
            ("0", Some(Duration::ZERO)),
            (".5", None),
            ("5.", None),
            ("-1", None),
            ("1e3", None),
            ("inf", None),
            ("10s", None),
            ("1000000000", None),
            ("99999999999999999999999", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn shown_bytes_read_back_the_same(value: u64) {
            prop_assert_eq!(bytes(&show_bytes(value)), Some(value));
        }

        #[test]
        fn shown_seconds_read_back_the_same(whole in 0..MAX_SECONDS, nanos in 0..1_000_000_000u32) {
            let duration = Duration::new(whole, nanos);
            let shown = show_seconds(duration);
            prop_assert_eq!(seconds(shown.trim_end_matches(" s")), Some(duration));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text: String) {
            let _ = (bytes(&text), seconds(&text));
        }

        #[test]
        fn nothing_like_a_number_makes_the_parsers_panic(text in "[-+0-9.eEkKMGTPim ]{0,40}") {
            let _ = (bytes(&text), seconds(&text));
        }
    }
}

//! Reads timestamps: seconds since any epoch, or a date and a time of day.

const NANOS: i128 = 1_000_000_000;
/// Largest number of seconds: some 30,000 years.
const MOST_SECONDS: i64 = 1_000_000_000_000;

/// Reads `text` as nanoseconds since 1970, or since the epoch of its seconds. `None`: not a
/// timestamp.
///
/// The forms are seconds, with optional sign and decimals, and RFC 3339, with `T` or a space and
/// an optional zone (default UTC). A leap second such as 18:59:60 is the second after 18:59:59.
pub(super) fn parse(text: &str) -> Option<i128> {
    if let Some(time) = number(text).or_else(|| inexact(text)) {
        return Some(time);
    }
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, zone) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => rest.split_at(at),
        None => (rest, "Z"),
    };
    let day = days(date)?;
    let (hour, minute) = (digits(time.get(..2)?, 23)?, digits(time.get(3..5)?, 59)?);
    let second = time.get(6..)?;
    let whole = digits(second.get(..2)?, 60)?;
    let colons = time.as_bytes();
    if colons[2] != b':' || colons[5] != b':' {
        return None;
    }
    let fraction = match second.get(2..)? {
        "" => 0,
        rest => fraction(rest.strip_prefix('.')?)?,
    };
    let seconds = ((day * 24 + hour) * 60 + minute) * 60 + whole - offset(zone)?;
    Some(i128::from(seconds) * NANOS + fraction)
}

/// `12`, `-0.5`, `1700000000.123`: exact to the nanosecond.
fn number(text: &str) -> Option<i128> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let whole = digits(whole, MOST_SECONDS)?;
    Some(sign * (i128::from(whole) * NANOS + fraction(decimals)?))
}

/// `1.7e9`, `5e-05`, `+1`, `.5`: as programs write floating-point numbers.
fn inexact(text: &str) -> Option<i128> {
    let seconds: f64 = text.parse().ok()?;
    let fits = seconds.abs() <= MOST_SECONDS as f64;
    fits.then(|| (seconds * NANOS as f64).round() as i128)
}

/// Nanoseconds of the decimals after a point; digits after the ninth are cut.
fn fraction(decimals: &str) -> Option<i128> {
    if decimals.is_empty() || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nine: String = decimals
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    nine.parse().ok()
}

/// A whole number of digits only, at most `most`.
fn digits(text: &str, most: i64) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|n| *n <= most)
}

/// The offset of a zone east of UTC, in seconds: `Z`, `+02:00`, `-0530`.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let minutes = rest.get(2..)?;
    let minutes = minutes.strip_prefix(':').unwrap_or(minutes);
    Some(sign * (digits(rest.get(..2)?, 23)? * 60 + digits(minutes, 59)?) * 60)
}

/// Days since 1970-01-01 of `YYYY-MM-DD`.
///
/// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2013):
/// years begin in March, so that the leap day is the last.
fn days(date: &str) -> Option<i64> {
    let (year, month, day) = (
        digits(date.get(..4)?, 9999)?,
        digits(date.get(5..7)?, 12)?,
        digits(date.get(8..10)?, 31)?,
    );
    let dashes = date.as_bytes();
    if dashes[4] != b'-' || dashes[7] != b'-' || month == 0 || day == 0 {
        return None;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if day > last {
        return None;
    }
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_each_form_and_nothing_else() {
        for (text, expected) in [
            ("0", Some(0)),
            ("12.5", Some(12_500_000_000)),
            ("-0.25", Some(-250_000_000)),
            ("1700000000.123456789", Some(1_700_000_000_123_456_789)),
            ("1970-01-01 00:00:00", Some(0)),
            ("1970-01-02T00:00:01.5Z", Some(86_401_500_000_000)),
            ("2000-02-29T12:00:00Z", Some(951_825_600_000_000_000)),
            (
                "2023-11-16 18:17:03.9799600",
                Some(1_700_158_623_979_960_000),
            ),
            (
                "2023-11-16T20:17:03.97996+02:00",
                Some(1_700_158_623_979_960_000),
            ),
            (
                "2023-11-16T12:47:03.97996-0530",
                Some(1_700_158_623_979_960_000),
            ),
            ("", None),
            ("nan", None),
            ("1e3", Some(1_000_000_000_000)),
            ("5e-05", Some(50_000)),
            ("+.5", Some(500_000_000)),
            ("-inf", None),
            ("1e13", None),
            ("1700000000000", None),
            ("2023-02-29 00:00:00", None),
            ("2023-04-31 00:00:00", None),
            ("2023-13-01 00:00:00", None),
            ("2023-00-01 00:00:00", None),
            ("2023-11-16", None),
            ("2023-11-16 24:00:00", None),
            ("2023-11-16 18.17.03", None),
            ("2023-11-16 18:17:03.", None),
            ("2023-11-16 18:17:03 PST", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text: String, like in "[-+0-9T:.Z éß]{0,40}") {
            let _ = (parse(&text), parse(&like));
        }
    }
}

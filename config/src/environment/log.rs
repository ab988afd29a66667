//! The filter of the log.

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// The forms of a filter, for messages.
pub(super) const EXPECTED: &str =
    "a level (off, error, warn, info, debug or trace) or a filter such as info,replica=off";

/// Accepts a filter in the syntax of [`EnvFilter`]. A single word that is not a level is refused,
/// although it could be a target: it would switch off everything else, and is usually a typing
/// error.
pub(super) fn filter(text: &str) -> Option<String> {
    let slip = |word: &str| {
        let alone = !word.is_empty() && !word.contains(['=', '[']);
        alone && word.parse::<LevelFilter>().is_err()
    };
    if text.split(',').map(str::trim).any(slip) {
        return None;
    }
    EnvFilter::try_new(text).ok().map(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_has_levels_and_what_they_are_for() {
        for right in [
            "info",
            "WARN",
            "off",
            "warn,tailback=debug",
            "info,replica=off,",
            "info,[request{model}]=debug",
            "3",
        ] {
            assert_eq!(filter(right).as_deref(), Some(right));
        }
        for wrong in ["loud", "infoo,tailback=debug", "tailback", "tailback=loud"] {
            assert_eq!(filter(wrong), None, "{wrong}");
        }
    }
}

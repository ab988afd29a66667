//! The log: to standard error, as text or JSON lines.

use std::{
    fmt::Display,
    io::{self, IsTerminal},
    time::SystemTime,
};

use serde::Serialize;
use tailback_config::LogFormat;
use tracing::Level;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Starts logging what passes `filter` (`info`, `tailback=debug,replica=off`, …).
///
/// # Errors
/// A sentence, if the filter is none.
pub fn start(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = parse(filter)?;
    // What pingora says at info is about itself, not about what is served; what
    // kube-rs warns of is said by whoever asked it.
    let filter = [
        "pingora_core=warn",
        "kube_client=error",
        "kube_runtime=error",
    ]
    .iter()
    .try_fold(filter, |filter, quiet| {
        quiet.parse().map(|quiet| filter.add_directive(quiet))
    })
    .map_err(|e| format!("log filter: {e}"))?;
    let ansi = io::stderr().is_terminal();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => subscriber.with_target(false).with_ansi(ansi).init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    Ok(())
}

/// A line as the log's JSON has them, with the fields of `more`: for what is said
/// before the log begins, or whatever its filter.
#[must_use]
pub fn json_line(level: Level, message: &str, more: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Line<'a, T> {
        timestamp: String,
        level: &'static str,
        message: &'a str,
        #[serde(flatten)]
        more: &'a T,
        target: &'static str,
    }
    let line = Line {
        timestamp: humantime::format_rfc3339_micros(SystemTime::now()).to_string(),
        level: level.as_str(),
        message,
        more,
        target: "tailback",
    };
    // Plain fields: it cannot fail.
    serde_json::to_string(&line).unwrap_or_default()
}

/// Reads a filter.
///
/// # Errors
/// A sentence, if it is none. A word alone that is no level is none either,
/// although it could be a target: it would switch off all the rest, and is a slip.
pub fn parse(filter: &str) -> Result<EnvFilter, String> {
    let wrong = |found: &str, why: &dyn Display| {
        format!(
            "environment TAILBACK_LOG: found {found:?}, expected a level or a filter such as info,replica=off: {why}"
        )
    };
    let mut words = filter.split(',').map(str::trim);
    let slip = words.find(|word| {
        let alone = !word.is_empty() && !word.contains(['=', '[']);
        alone && word.parse::<LevelFilter>().is_err()
    });
    if let Some(word) = slip {
        return Err(wrong(
            word,
            &"levels are off, error, warn, info, debug and trace",
        ));
    }
    EnvFilter::try_new(filter).map_err(|error| wrong(filter, &error))
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
            "3",
        ] {
            parse(right).unwrap();
        }
        for (wrong, why) in [
            ("loud", "found \"loud\", expected a level"),
            ("infoo,tailback=debug", "found \"infoo\", expected a level"),
            (
                "tailback",
                "levels are off, error, warn, info, debug and trace",
            ),
            ("tailback=loud", "found \"tailback=loud\", expected a level"),
        ] {
            let error = parse(wrong).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}

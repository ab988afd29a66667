//! The log: to standard error, as text or JSON lines. Logging never waits for a reader.

mod lossy_stderr;

use std::{
    io::{self, IsTerminal},
    time::SystemTime,
};

use serde::Serialize;
use tailback_config::LogFormat;
use tracing::Level;
use tracing_subscriber::EnvFilter;

use self::lossy_stderr::LossyStderr;

/// What libraries say at first: of themselves, not of what is served. What goes wrong
/// in them is said by whoever asked them, once and with what it means. A filter that
/// names one of them has the last word.
const LIBRARIES: &str = "pingora_core=warn,kube_client=off,kube_runtime=off,notify=error";

/// Starts logging what passes `filter` (`info`, `tailback=debug,replica=off`, …).
///
/// # Errors
/// A sentence, if the filter is none.
pub fn start(filter: &str, format: LogFormat) -> Result<(), String> {
    // Alone, so that a mistake is not said to be in ours.
    EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
    let filter = EnvFilter::try_new(format!("{LIBRARIES},{filter}"))
        .map_err(|error| format!("log filter: {error}"))?;
    let ansi = io::stderr().is_terminal();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| LossyStderr);
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

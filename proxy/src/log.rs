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
pub use self::lossy_stderr::{is_writable_within, write_to};

/// The default levels of libraries. Their own lines are off or rare, because the code that called
/// them logs the failure once, with its meaning for the user. A filter that names one of these
/// targets overrides the level here.
const LIBRARIES: &str = "pingora_core=warn,kube_client=off,kube_runtime=off,notify=error";

/// Starts logging what passes `filter` (`info`, `tailback=debug,replica=off`, …).
///
/// # Errors
/// A sentence, if `filter` cannot be parsed.
pub fn start(filter: &str, format: LogFormat) -> Result<(), String> {
    // Parsed separately first, so that the error does not quote the defaults above.
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

/// One line in the log's JSON format, with the fields of `more`: for events before the log has
/// started, and for events that must be written whatever the filter is.
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
    // Serialising plain fields cannot fail.
    serde_json::to_string(&line).unwrap_or_default()
}

//! The log: to standard error, as text or JSON lines.

use std::{
    io::{self, IsTerminal},
    time::SystemTime,
};

use serde::Serialize;
use tailback_config::LogFormat;
use tracing::Level;
use tracing_subscriber::EnvFilter;

/// Starts logging what passes `filter` (`info`, `tailback=debug,replica=off`, …).
///
/// # Errors
/// A sentence, if the filter is none.
pub fn start(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
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

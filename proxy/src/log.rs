//! The log: to standard error, as text or JSON lines.

use std::io::{self, IsTerminal};

use tailback_config::LogFormat;
use tracing_subscriber::EnvFilter;

/// Starts logging what passes `filter` (`info`, `tailback=debug,replica=off`, …).
///
/// # Errors
/// A sentence, if the filter is none.
pub fn start(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|e| {
        format!("environment TAILBACK_LOG: found {filter:?}, expected a level or a filter such as info,replica=off: {e}")
    })?;
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

//! What is said once, at the start: what is served where.

use std::{
    io::{self, Write},
    net::SocketAddr,
};

use serde::Serialize;
use tailback_config::{AccessLog, Config, LogFormat};
use tracing::Level;

use crate::log;

/// Where things are, beside the sentence that says what.
#[derive(Serialize)]
struct Addresses {
    requests: String,
    admin: String,
}

/// In a few lines for people, or as a line of the log's JSON. Not by the log's
/// filter: who leaves `info` out still wants to know the ports.
pub(super) fn announce(config: &Config, listen: SocketAddr, admin: SocketAddr) {
    let scheme = match config.process.tls {
        Some(_) => "https",
        None => "http",
    };
    let addresses = Addresses {
        requests: format!("{scheme}://{listen}"),
        admin: format!("http://{admin}"),
    };
    let text = match config.process.log_format {
        LogFormat::Text => lines(config, &addresses),
        LogFormat::Json => log::json_line(Level::INFO, &served(config), &addresses),
    };
    // Whoever started us may not care to listen.
    let _ = match config.process.access_log {
        // It has that for itself.
        Some(AccessLog::Stdout) => writeln!(io::stderr(), "{text}"),
        _ => writeln!(io::stdout(), "{text}"),
    };
}

fn served(config: &Config) -> String {
    let models = config.models.values();
    let models: Vec<_> = models
        .map(|m| format!("{} (server {})", m.name, m.server.name))
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    match &*models {
        [] => {
            format!("tailback {version} serves no model yet: it waits for manifests that have one")
        }
        models => format!("tailback {version} serves {}", models.join(", ")),
    }
}

fn lines(config: &Config, Addresses { requests, admin }: &Addresses) -> String {
    let mut lines = vec![
        served(config),
        format!("  requests  {requests}"),
        format!("  admin     {admin}  /metrics /models /decisions /ledgers /healthz /readyz"),
    ];
    if let Some(model) = config.models.keys().next() {
        lines.push(format!("  try       curl {requests}/v2/models/{model}"));
    }
    lines.join("\n")
}

//! The start-up message: what is served at which address.

use std::{io, net::SocketAddr, os::fd::AsFd, sync::Arc};

use serde::Serialize;
use tailback_config::{AccessLog, Config, Kind, LogFormat, Model, Readiness};
use tracing::Level;

use crate::log;

/// Most models that are named: the whole message is to fit into a pipe that is not read yet.
const NAMED: usize = 100;

/// The addresses to print.
#[derive(Serialize)]
struct Addresses {
    requests: String,
    admin: String,
}

/// Prints a few lines for people, or one line in the log's JSON format. It bypasses the log's
/// filter: a user who filters out `info` still needs the ports.
pub(super) fn announce(config: &Config, listen: SocketAddr, admin: SocketAddr) {
    let scheme = match config.process.tls {
        Some(_) => "https",
        None => "http",
    };
    let addresses = Addresses {
        requests: format!("{scheme}://{listen}"),
        admin: format!("http://{admin}"),
    };
    let mut text = match config.process.log_format {
        LogFormat::Text => lines(config, &addresses),
        LogFormat::Json => log::json_line(Level::INFO, &served(config), &addresses),
    };
    text.push('\n');
    match config.process.access_log {
        // The access log uses standard output.
        Some(AccessLog::Stdout) => log::write_to(io::stderr().as_fd(), &text),
        _ => log::write_to(io::stdout().as_fd(), &text),
    }
}

fn served(config: &Config) -> String {
    let models = config.models.values().take(NAMED);
    let mut models: Vec<_> = models
        .map(|m| format!("{} (server {})", m.name, m.server.name))
        .collect();
    let others = config.models.len() - models.len();
    if others > 0 {
        models.push(format!("and {others} more"));
    }
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
        format!("  admin     {admin}  /metrics /models /decisions /healthz /readyz"),
    ];
    lines.push(format!("  try       {}", hint(config, requests)));
    lines.join("\n")
}

/// An example request that lists the models, in the API that they are known to speak. Tailback
/// answers it itself, so it works without replicas and starts none.
fn hint(config: &Config, requests: &str) -> String {
    let inference = |model: &Arc<Model>| match &model.server.kind {
        Kind::Process(spec) => {
            matches!(&spec.ready.value, Readiness::Http(probe) if probe.path.starts_with("/v2/"))
        }
        Kind::Seldon(_) => true,
        Kind::Static(_) | Kind::Kubernetes(_) | Kind::Webhook(_) => false,
    };
    if !config.models.is_empty() && config.models.values().all(inference) {
        return format!("curl -X POST {requests}/v2/repository/index");
    }
    format!("curl {requests}/v1/models")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tailback_config::{Env, load_text};

    use super::*;

    #[test]
    fn what_is_served_is_a_sentence_also_where_it_is_nothing_yet() {
        const UP: &str = "{ apiVersion: tailback.dev/v1alpha1, kind: Server, metadata: { name: up }, \
                          spec: { static: { endpoints: ['http://a'] } } }\n";
        const M: &str = "---\n{ apiVersion: tailback.dev/v1alpha1, kind: Model, metadata: { name: m }, \
                         spec: { server: up } }\n";
        // Models of the cluster are found later.
        let env = Env::from([("TAILBACK_KUBE_MODELS", "*")]);
        let said = |text: &str| {
            let config = load_text(Path::new("a.yaml"), text, &env);
            served(&config.unwrap())
        };
        let none = "serves no model yet: it waits for manifests that have one";
        assert!(said(UP).ends_with(none), "{}", said(UP));
        let one = said(&format!("{UP}{M}"));
        assert!(one.ends_with("serves m (server up)"), "{one}");
    }
}

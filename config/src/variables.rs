//! Every environment variable that is read, in one table. The documentation's table is held
//! against it by a test, and nothing reads a variable that is not in it.

/// An environment variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it sets, with the unit.
    pub meaning: &'static str,
    /// What holds where it is not set: a value in its own syntax, or, for the two that are worked
    /// out at start, words.
    pub default: &'static str,
    /// Whether manifests can set the same and win.
    pub scope: Scope,
}

/// How the command line calls a variable, if it does not say the variable's name without
/// `TAILBACK_`.
const FLAGS: &[(&str, Option<&str>)] = &[
    // Whoever lists the processes of the machine reads their options.
    ("TAILBACK_ADMIN_TOKEN", None),
    (
        "SELDON_SCALING_STATS_PERIOD_SECONDS",
        Some("scaling-period-seconds"),
    ),
    (
        "SELDON_MODEL_INFERENCE_LAG_THRESHOLD",
        Some("lag-threshold"),
    ),
    (
        "SELDON_MODEL_INACTIVE_SECONDS_THRESHOLD",
        Some("inactive-seconds"),
    ),
];

impl Variable {
    /// The option of the command line that sets the same, without its dashes: `listen` for
    /// `TAILBACK_LISTEN`. `None` for a secret, which other users of the machine could read there.
    #[must_use]
    pub fn flag(&self) -> Option<String> {
        flag(self.name)
    }
}

/// The option for the variable `name`.
pub(crate) fn flag(name: &str) -> Option<String> {
    if let Some((_, flag)) = FLAGS.iter().find(|(of, _)| *of == name) {
        return flag.map(str::to_owned);
    }
    let word = name.strip_prefix("TAILBACK_")?;
    Some(word.to_ascii_lowercase().replace('_', "-"))
}

/// What a variable holds for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The whole process.
    Process,
    /// Every model that neither sets it itself nor has it from its server.
    Model,
}

/// `TAILBACK_WORKERS` where it is not set.
pub(crate) const CORES: &str = "the cores";
/// A path where there is none.
pub(crate) const NONE: &str = "none";
/// `TAILBACK_KUBE_NAMESPACE` where it is not set.
pub(crate) const OWN_NAMESPACE: &str = "the service account's";
/// `TAILBACK_MAX_CONNECTIONS` where it is not set.
pub(crate) const FROM_DESCRIPTORS: &str = "from the file descriptor limit";

const fn process(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable {
        name,
        meaning,
        default,
        scope: Scope::Process,
    }
}

const fn model(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable {
        name,
        meaning,
        default,
        scope: Scope::Model,
    }
}

/// Every variable that is read. A variable set to nothing counts as not set.
pub const VARIABLES: &[Variable] = &[
    process(
        "TAILBACK_LISTEN",
        "127.0.0.1:9000",
        "address and port of the data plane",
    ),
    process(
        "TAILBACK_ADMIN",
        "127.0.0.1:9006",
        "address and port of the admin pages",
    ),
    process(
        "TAILBACK_ADMIN_TOKEN",
        NONE,
        "secret of at least 16 characters that lets its bearer pause and resume models on the admin pages; without it, nobody can",
    ),
    process(
        "TAILBACK_WORKERS",
        CORES,
        "worker threads of the data plane, 1 to 1024",
    ),
    process(
        "TAILBACK_LOG",
        "info",
        "log filter, such as `info` or `warn,tailback=debug`; `info,replica=off` leaves out what replicas print",
    ),
    process(
        "TAILBACK_LOG_FORMAT",
        "text",
        "how log lines are written: `text` or `json`",
    ),
    process(
        "TAILBACK_ACCESS_LOG",
        NONE,
        "file to which a line for each finished request is appended; `-`: standard output",
    ),
    process(
        "SELDON_SCALING_STATS_PERIOD_SECONDS",
        "20",
        "seconds between the scaler's periodic checks",
    ),
    model(
        "SELDON_MODEL_INFERENCE_LAG_THRESHOLD",
        "30",
        "lag one replica may carry before scale-up",
    ),
    model(
        "SELDON_MODEL_INACTIVE_SECONDS_THRESHOLD",
        "600",
        "seconds unused before scale-down",
    ),
    model(
        "TAILBACK_SCALING_POLICY",
        "lag",
        "how lag becomes a replica count: `lag` or `lag-step`",
    ),
    model(
        "TAILBACK_SCALING_STABILITY_SECONDS",
        "60",
        "seconds for which the replicas must have been the same before scale-down, ten times as long before a tenth of them or fewer go; 0: no wait",
    ),
    model(
        "TAILBACK_SCALING_TARGET_WAIT_SECONDS",
        "1",
        "seconds a request may wait for a replica without being late; 0: none",
    ),
    model(
        "TAILBACK_HOLD_QUEUE",
        "10000",
        "requests held for a model at once; 0: none are held",
    ),
    model(
        "TAILBACK_HOLD_SECONDS",
        "300",
        "longest a request is held, in seconds; where it is not set, at least the server's `startSeconds`",
    ),
    model(
        "TAILBACK_CONNECT_TIMEOUT_SECONDS",
        "5",
        "seconds to connect to a replica, TLS included",
    ),
    model(
        "TAILBACK_RESPONSE_TIMEOUT_SECONDS",
        "600",
        "seconds from the request sent to the response's header",
    ),
    model(
        "TAILBACK_FIRST_BYTE_TIMEOUT_SECONDS",
        "600",
        "seconds from the response's header to the first byte of its body",
    ),
    model(
        "TAILBACK_STREAM_IDLE_TIMEOUT_SECONDS",
        "600",
        "seconds without a byte either way, in a response's body, a stream or a tunnel",
    ),
    model(
        "TAILBACK_TOTAL_TIMEOUT_SECONDS",
        NONE,
        "seconds one request may take, all in all, or `none`",
    ),
    process(
        "TAILBACK_HEADER_TIMEOUT_SECONDS",
        "10",
        "seconds in which a request's header block must arrive",
    ),
    process(
        "TAILBACK_KEEP_ALIVE_SECONDS",
        "75",
        "seconds after which a caller's idle connection is closed",
    ),
    process(
        "TAILBACK_BODY_TIMEOUT_SECONDS",
        "60",
        "longest time in which a caller sends nothing of a body that is awaited, or takes nothing of an answer that is there, in seconds",
    ),
    process(
        "TAILBACK_DRAIN_SECONDS",
        "60",
        "seconds a shutdown waits for requests in flight",
    ),
    process(
        "TAILBACK_HEADER_MAX_BYTES",
        "16384",
        "bytes of a request's header block, 8192 to 16777216",
    ),
    process(
        "TAILBACK_HEADER_MAX_FIELDS",
        "100",
        "fields of a request's header block, 1 to 32768",
    ),
    process(
        "TAILBACK_HOLD_MAX_BYTES",
        "268435456",
        "bytes of bodies that may be in memory, of all requests together that wait for a replica or for the rest of their body; 0: none",
    ),
    process(
        "TAILBACK_MAX_CONNECTIONS",
        FROM_DESCRIPTORS,
        "connections at once, at least 1",
    ),
    process(
        "TAILBACK_TUNNEL_DRAIN_SECONDS",
        "10",
        "seconds a shutdown waits for upgraded connections (WebSocket) before it closes them",
    ),
    process(
        "TAILBACK_CORS_ORIGINS",
        NONE,
        "origins whose pages may call from a browser, separated by commas, or `*` for all",
    ),
    process(
        "TAILBACK_CORS_METHODS",
        "GET, HEAD, POST, PUT, PATCH, DELETE",
        "methods that those pages may use",
    ),
    process(
        "TAILBACK_CORS_HEADERS",
        "*",
        "header fields that those pages may send, separated by commas, or `*` for all that they ask for",
    ),
    process(
        "TAILBACK_CORS_MAX_AGE_SECONDS",
        "600",
        "seconds for which browsers may remember that; 0: not at all",
    ),
    process(
        "TAILBACK_TLS_CERT",
        NONE,
        "file with the listener's certificate and its chain (PEM): callers connect by TLS",
    ),
    process(
        "TAILBACK_TLS_KEY",
        NONE,
        "file with the certificate's private key (PEM)",
    ),
    process(
        "TAILBACK_TLS_CLIENT_CA",
        NONE,
        "file with the certificates (PEM) that callers' certificates must be signed by; callers without one are refused",
    ),
    process(
        "TAILBACK_TLS_MIN_VERSION",
        "1.2",
        "lowest version of TLS: `1.2` or `1.3`",
    ),
    process(
        "TAILBACK_KUBE_MODELS",
        NONE,
        "namespace whose Seldon Models and annotated workloads are served, or `*` for all",
    ),
    process(
        "TAILBACK_KUBE_GATEWAY",
        "http://seldon-mesh.{namespace}",
        "where requests of Seldon Models found there go; `{namespace}` stands for theirs",
    ),
    process(
        "TAILBACK_KUBE_PEERS",
        NONE,
        "Service whose endpoints are the admin addresses of all proxies that act as one with this one",
    ),
    process(
        "TAILBACK_KUBE_LEASE",
        "tailback",
        "Lease by which one of them is elected to ask for replicas",
    ),
    process(
        "TAILBACK_KUBE_NAMESPACE",
        OWN_NAMESPACE,
        "namespace of that Service and that Lease",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_but_secrets_has_an_option_of_its_own() {
        let mut flags = std::collections::BTreeSet::new();
        for variable in VARIABLES {
            match variable.flag() {
                Some(flag) => assert!(flags.insert(flag), "{}", variable.name),
                None => assert!(variable.name.ends_with("_TOKEN"), "{}", variable.name),
            }
        }
        assert!(flags.contains("listen") && flags.contains("lag-threshold"));
    }
}

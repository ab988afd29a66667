//! The table of all environment variables. A test compares the documentation's table with it. No
//! other variable is read.

mod flags;
mod opentelemetry;

pub(crate) use self::opentelemetry::OPENTELEMETRY;
use self::opentelemetry::joined;

/// An environment variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it sets, with the unit.
    pub meaning: &'static str,
    /// The default: a value in the variable's own syntax, or words if it is computed at the
    /// start.
    pub default: &'static str,
    /// Whether manifests can override it.
    pub scope: Scope,
}

impl Variable {
    /// The command-line option that overrides it, without dashes: `listen` for `TAILBACK_LISTEN`.
    /// `None` for a secret, because other users of the machine can read options, and for variables
    /// of OpenTelemetry, which all programs share.
    #[must_use]
    pub fn flag(&self) -> Option<String> {
        flag(self.name)
    }
}

/// The option that overrides the variable `name`, without dashes.
pub(crate) fn flag(name: &str) -> Option<String> {
    if let Some((_, flag)) = flags::FLAGS.iter().find(|(of, _)| *of == name) {
        return flag.map(str::to_owned);
    }
    let word = name.strip_prefix("TAILBACK_")?;
    Some(word.to_ascii_lowercase().replace('_', "-"))
}

/// What a variable applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The whole process.
    Process,
    /// Every model for which neither the model nor its server sets it.
    Model,
}

/// Whether documents of other kinds are skipped.
pub(crate) const SKIP_OTHER_KINDS: &str = "TAILBACK_SKIP_OTHER_KINDS";
/// The default of `TAILBACK_WORKERS`.
pub(crate) const CORES: &str = "the cores";
/// The default of settings that are absent.
pub(crate) const NONE: &str = "none";
/// The default of `TAILBACK_KUBE_NAMESPACE`.
pub(crate) const OWN_NAMESPACE: &str = "the service account's";
/// The default of `TAILBACK_MEMORY_MAX`.
pub(crate) const FROM_CONTROL_GROUP: &str = "7/8 of the control group's limit, or none";
/// The default of `TAILBACK_MAX_CONNECTIONS`.
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

/// All environment variables. A variable with an empty value counts as not set.
pub const VARIABLES: &[Variable] =
    &joined::<{ OWN.len() + OPENTELEMETRY.len() }>(OWN, OPENTELEMETRY);

/// Tailback's own variables, and those of Seldon that Tailback reads.
const OWN: &[Variable] = &[
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
        "secret of at least 16 characters that allows its bearer to change things on the admin address, and to read what replicas print; if it is not set, nothing can be changed there, and what replicas print is shown to callers on the same host alone",
    ),
    process(
        "TAILBACK_API_KEYS_FILE",
        NONE,
        "file of the API keys (their hashes) that requests must have; if it is not set, requests need none",
    ),
    process(
        "TAILBACK_WORKERS",
        CORES,
        "worker threads of the data plane, 1 to 1024",
    ),
    process(
        "TAILBACK_LOG",
        "info",
        "log filter, such as `info` or `warn,tailback=debug`; `info,replica=off` leaves out the output of replicas",
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
        "seconds for which the replicas must be unchanged before scale-down; ten times as long before a scale-down by a tenth or less; 0: no wait",
    ),
    model(
        "TAILBACK_SCALING_TARGET_WAIT_SECONDS",
        "1",
        "seconds that a request may wait for a replica without being late; 0: it may not wait",
    ),
    model(
        "TAILBACK_HOLD_QUEUE",
        "10000",
        "requests held for a model at once; 0: none are held",
    ),
    model(
        "TAILBACK_HOLD_SECONDS",
        "300",
        "longest time that a request is held, in seconds; if it is not set, at least the server's `startSeconds`",
    ),
    model(
        "TAILBACK_CONNECT_TIMEOUT_SECONDS",
        "5",
        "seconds to connect to a replica, TLS included",
    ),
    model(
        "TAILBACK_RESPONSE_TIMEOUT_SECONDS",
        "600",
        "seconds from sending the request to the response's header",
    ),
    model(
        "TAILBACK_FIRST_BYTE_TIMEOUT_SECONDS",
        "600",
        "seconds from the response's header to the first byte of its body",
    ),
    model(
        "TAILBACK_STREAM_IDLE_TIMEOUT_SECONDS",
        "600",
        "longest time without a byte in either direction in a response's body, a stream or a tunnel, in seconds",
    ),
    model(
        "TAILBACK_TOTAL_TIMEOUT_SECONDS",
        NONE,
        "seconds that one request may take in total, or `none`",
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
        "seconds without progress after which a caller is disconnected: it sends too little of a body that is expected, or reads no byte of a response that is ready",
    ),
    process(
        "TAILBACK_BODY_MIN_BYTES_PER_SECOND",
        "500",
        "bytes a second, over `TAILBACK_BODY_TIMEOUT_SECONDS`, below which a caller that sends a body is disconnected; 0: none",
    ),
    process(
        "TAILBACK_HALF_CLOSE",
        "answer",
        "what becomes of a request by HTTP/1.1 whose caller ends its side of the connection behind it: `answer`, or `abort`, as if it had left",
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
        "fields of a request's header block, 1 to 24576",
    ),
    process(
        "TAILBACK_HOLD_MAX_BYTES",
        "268435456",
        "bytes of bodies that may be in memory for all waiting requests together, whether they wait for a replica or for the rest of their body; 0: none",
    ),
    process(
        "TAILBACK_MEMORY_MAX",
        FROM_CONTROL_GROUP,
        "memory that the process may have, such as `512Mi`, at least `64Mi`, or `none`; from 80 % of it on, load is shed",
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
        "TAILBACK_UPGRADE_DRAIN_SECONDS",
        "3600",
        "seconds that requests of all kinds may take to end, after an upgrade, in the process that was replaced",
    ),
    process(
        SKIP_OTHER_KINDS,
        "false",
        "`true`: documents of kinds that are not read here, such as Seldon's Pipeline, are skipped with a notice; else they are errors",
    ),
    process(
        "TAILBACK_DEFAULT_MODEL",
        NONE,
        "model of requests that name none",
    ),
    process(
        "TAILBACK_FALLBACK_MODEL",
        NONE,
        "model of requests that name one that is not served",
    ),
    process(
        "TAILBACK_PROBES_WAKE",
        "false",
        "`true`: questions about a model, such as whether it is ready, wake it and count as use",
    ),
    process(
        "SELDON_OVERCOMMIT_PERCENTAGE",
        "0",
        "how much more memory the models of a multi-model server may need together than its replicas have, in percent, where the server does not say",
    ),
    process(
        "SELDON_MAX_LOAD_RETRY_COUNT",
        "5",
        "how often a failed load of a model is tried again before a pause",
    ),
    process(
        "SELDON_MAX_LOAD_ELAPSED_TIME_MINUTES",
        "120",
        "minutes that a load may take with all its tries",
    ),
    process(
        "SELDON_MAX_UNLOAD_RETRY_COUNT",
        "1",
        "how often a failed unload of a model is tried again",
    ),
    process(
        "SELDON_MAX_UNLOAD_ELAPSED_TIME_MINUTES",
        "15",
        "minutes that an unload may take with all its tries",
    ),
    process(
        "SELDON_UNLOAD_GRACE_PERIOD_SECONDS",
        "0",
        "seconds that a model takes no new requests before it is unloaded, at least; Seldon's default is 2, for the time that its routes take to change, and Tailback's change at once",
    ),
    process(
        "ENABLE_SERVER_AUTOSCALING",
        "true",
        "whether multi-model servers with `minReplicas` or `maxReplicas` get as many replicas as their models need",
    ),
    process(
        "SERVER_PACKING_ENABLED",
        "false",
        "whether models are moved together so that a server needs fewer replicas",
    ),
    process(
        "SERVER_PACKING_PERCENTAGE",
        "0",
        "read for Seldon's sake, from 0 to 1, and without effect: models are moved where it is proven that they fit, not by chance",
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
        "seconds for which browsers may cache these settings; 0: not at all",
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
        "address for requests to Seldon Models found there; `{namespace}` stands for the Model's namespace",
    ),
    process(
        "TAILBACK_KUBE_PEERS",
        NONE,
        "Service whose endpoints are the admin addresses of all proxies in the group",
    ),
    process(
        "TAILBACK_KUBE_LEASE",
        "tailback",
        "Lease by which one proxy of the group is elected to ask for replicas",
    ),
    process(
        "TAILBACK_KUBE_NAMESPACE",
        OWN_NAMESPACE,
        "namespace of that Service and that Lease",
    ),
];

#[cfg(test)]
#[path = "variables/tests.rs"]
mod tests;

//! Process servers: the command that runs as a replica.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, Method};
use regex::Regex;

use crate::{CallBody, Setting, Template};

/// A local command, started once for each replica.
///
/// `{port}`, `{grpcPort}`, `{model}`, `{storageUri}`, `{device}` and `{index}` in `command` and in
/// the values of `env` are placeholders, which [`ProcessSpec::fill`] replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSpec {
    /// Program and arguments. Never empty. Paths relative to the manifest are already resolved.
    pub command: Vec<String>,
    /// When a replica may take requests.
    pub ready: Setting<Readiness>,
    /// The path of a replica's Prometheus metrics, on the port that takes its requests; `None`: it
    /// has none.
    pub metrics_path: Setting<Option<String>>,
    /// Which processes may listen on a replica's port.
    pub listener: Listener,
    /// How long a draining replica may take to finish its requests before it is stopped; `None`:
    /// no limit.
    pub drain: Setting<Option<Duration>>,
    /// How long a replica may take to become ready. After that it is stopped and started again.
    pub start: Setting<Duration>,
    /// The signal that tells a replica to end, such as `SIGTERM`: one of [`STOP_SIGNALS`].
    pub stop_signal: &'static str,
    /// A program and its arguments that tell a replica to end, run before the signal is sent;
    /// empty: none.
    pub stop_command: Vec<String>,
    /// How long a replica may take to end before it is killed.
    pub stop: Setting<Duration>,
    /// The requests that are sent to a replica before it takes others, in this order.
    pub warm_up: Vec<WarmUp>,
    /// The order of stopping and starting when a changed manifest replaces replicas.
    pub strategy: Strategy,
    /// Environment variables of the command.
    pub env: BTreeMap<String, String>,
    /// Further variables that the command inherits from the proxy: names, or prefixes with `*`.
    pub inherit_env: Vec<String>,
    /// The command's working directory: absolute.
    pub directory: PathBuf,
    /// The user that it runs as, by name or number; `None`: the proxy's user.
    pub user: Option<String>,
    /// Its scheduling priority (nice), from -20 (highest) to 19 (lowest); `None`: the proxy's.
    pub nice: Option<i8>,
    /// Limit of open files, sockets included, of each of its processes; `None`: the proxy's.
    pub open_files: Option<u64>,
    /// Bytes of memory that all its processes may have together; `None`: no limit.
    pub memory: Option<u64>,
    /// The environment variable with the names of the replica's devices, separated by commas.
    pub device_variable: String,
}

/// A request that a replica must answer with a 2xx status before it takes others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmUp {
    /// Its method.
    pub method: Method,
    /// Its path, with an optional query.
    pub path: Template,
    /// Its header fields, in the order of the manifest.
    pub headers: Vec<(HeaderName, Template)>,
    /// Its body.
    pub body: CallBody,
    /// How often it is sent, one after the other; at least 1.
    pub count: u32,
    /// How long each of them may take, to the last byte of the response. Never zero.
    pub timeout: Duration,
}

/// When a replica may take requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// When a `GET` request is answered with an expected status.
    Http(HttpProbe),
    /// When `grpc.health.v1.Health/Check` answers `SERVING`.
    Grpc(GrpcProbe),
    /// When its port accepts connections.
    Tcp,
    /// When it has printed a line that matches.
    Line(LinePattern),
    /// As soon as it runs.
    None,
}

/// The gRPC call that checks readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcProbe {
    /// The service whose health is asked for; empty: the server as a whole.
    pub service: String,
}

/// A regular expression that a line of a replica's output must match, in the syntax of the crate
/// `regex`. It is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinePattern(String);

/// The request that checks readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpProbe {
    /// Its path, with an optional query.
    pub path: String,
    /// Its header fields besides `Host`.
    pub headers: BTreeMap<String, String>,
    /// The statuses that mean ready; empty: every 2xx.
    pub codes: Vec<u16>,
}

/// Which processes may listen on a replica's port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Listener {
    /// `replica`: the command or its descendants, so that no other program gets the model's
    /// requests.
    #[default]
    Replica,
    /// `any`: any process, for commands that let another service open the port.
    Any,
}

/// How replicas are replaced when their server changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// `surge`: an old replica stops when a new one is ready.
    #[default]
    Surge,
    /// `recreate`: a new replica starts when an old one has stopped.
    Recreate,
}

/// The signals that may be set to end a replica.
pub const STOP_SIGNALS: &[&str] = &[
    "SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL",
];

/// The values for the placeholders.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filling<'a> {
    /// `{port}`
    pub port: u16,
    /// `{grpcPort}`
    pub grpc_port: u16,
    /// `{model}`
    pub model: &'a str,
    /// `{storageUri}`
    pub storage_uri: &'a str,
    /// `{device}`: the names of its devices, separated by commas.
    pub device: &'a str,
    /// `{index}`: the replica's number among the replicas of its model.
    pub index: u64,
}

// === impl ProcessSpec ===

impl ProcessSpec {
    /// Whether a replica has a separate port for gRPC, because `{grpcPort}` is in its command or
    /// environment.
    #[must_use]
    pub fn has_grpc_port(&self) -> bool {
        self.command
            .iter()
            .chain(self.env.values())
            .any(|word| word.contains("{grpcPort}"))
    }

    /// Replaces the placeholders in `text`. Other words in braces stay. Filled-in values are not
    /// searched again, so a model's `storageUri` cannot contain a placeholder.
    #[must_use]
    pub fn fill(text: &str, with: &Filling<'_>) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, from) = rest.split_at(open);
            filled.push_str(before);
            rest = if let Some(after) = from.strip_prefix("{port}") {
                filled.push_str(&with.port.to_string());
                after
            } else if let Some(after) = from.strip_prefix("{grpcPort}") {
                filled.push_str(&with.grpc_port.to_string());
                after
            } else if let Some(after) = from.strip_prefix("{model}") {
                filled.push_str(with.model);
                after
            } else if let Some(after) = from.strip_prefix("{storageUri}") {
                filled.push_str(with.storage_uri);
                after
            } else if let Some(after) = from.strip_prefix("{device}") {
                filled.push_str(with.device);
                after
            } else if let Some(after) = from.strip_prefix("{index}") {
                filled.push_str(&with.index.to_string());
                after
            } else {
                filled.push('{');
                &from[1..]
            };
        }
        filled.push_str(rest);
        filled
    }
}

// === impl LinePattern ===

impl LinePattern {
    /// Reads a regular expression.
    ///
    /// # Errors
    /// Why it is no valid expression, or that it is too large.
    pub fn parse(text: &str) -> Result<Self, regex::Error> {
        Regex::new(text).map(|_| Self(text.to_owned()))
    }

    /// The expression as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The compiled expression. Searching takes time proportional to the line's length.
    ///
    /// # Errors
    /// None in practice: [`parse`](Self::parse) has compiled it before.
    pub fn compile(&self) -> Result<Regex, regex::Error> {
        Regex::new(&self.0)
    }
}

// === impl Readiness ===

impl Readiness {
    /// A check by `GET` of `path` that expects any 2xx status.
    #[must_use]
    pub fn path(path: &str) -> Self {
        Self::Http(HttpProbe {
            path: path.to_owned(),
            headers: BTreeMap::new(),
            codes: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_once_and_other_braces_stay() {
        for (text, filled) in [
            ("{port}", "8123"),
            ("--grpc={grpcPort}", "--grpc=8124"),
            ("--at=127.0.0.1:{port}/{model}", "--at=127.0.0.1:8123/iris"),
            ("{storageUri}", "s3://{model}"),
            ("--gpu={device} #{index}", "--gpu=0,1 #7"),
            ("{other} {", "{other} {"),
            ("{{port}}", "{8123}"),
            ("é{model}é", "éirisé"),
        ] {
            let with = Filling {
                port: 8123,
                grpc_port: 8124,
                model: "iris",
                storage_uri: "s3://{model}",
                device: "0,1",
                index: 7,
            };
            assert_eq!(ProcessSpec::fill(text, &with), filled, "{text}");
        }
    }
}

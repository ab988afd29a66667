//! `process` of a server: the command that is one replica, and how it is run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A local command, started once per replica.
///
/// `{port}`, `{grpcPort}`, `{model}` and `{storageUri}` in `command` and in the values of `env` stand for the
/// replica's ports, the model's name and its `storageUri`; [`ProcessSpec::fill`] puts them in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSpec {
    /// Program and arguments. Never empty; a relative path in it is already resolved.
    pub command: Vec<String>,
    /// When a replica may take requests.
    pub ready: Readiness,
    /// Who may listen on the port that a replica was given.
    pub listener: Listener,
    /// How long a replica may finish its requests before it is stopped; `None`: as long as
    /// they take.
    pub drain: Option<Duration>,
    /// How long a replica may take to get ready before it is stopped and tried again.
    pub start: Duration,
    /// The signal that asks a replica to end, such as `SIGTERM`: one of [`STOP_SIGNALS`].
    pub stop_signal: &'static str,
    /// How replicas are replaced when this changes.
    pub strategy: Strategy,
    /// Variables of the environment of the command.
    pub env: BTreeMap<String, String>,
    /// Variables that it inherits besides those that every command does: names, or beginnings of
    /// names with `*` after them.
    pub inherit_env: Vec<String>,
    /// The command's working directory: absolute.
    pub directory: PathBuf,
    /// The user that it runs as, by name or number; `None`: the proxy's.
    pub user: Option<String>,
    /// Its scheduling priority, from -20 (first) to 19 (last); `None`: the proxy's.
    pub nice: Option<i8>,
    /// How many files, sockets among them, each of its processes may have open; `None`: as many as
    /// the proxy may.
    pub open_files: Option<u64>,
}

/// When a replica may take requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Once `GET` of a path is answered as expected.
    Http(HttpProbe),
    /// Once its port takes connections.
    Tcp,
    /// As soon as it runs.
    None,
}

/// The request that finds out whether a replica is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpProbe {
    /// Its path, with a query or without.
    pub path: String,
    /// Its header fields, beside `Host`.
    pub headers: BTreeMap<String, String>,
    /// The statuses that mean ready; empty: every 2xx.
    pub codes: Vec<u16>,
}

/// Who may listen on the port that a replica was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Listener {
    /// `replica`: the command, or what it started; nobody else gets the model's requests.
    #[default]
    Replica,
    /// `any`: whoever does, as where the command has another service open the port.
    Any,
}

/// How replicas are replaced when their server changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// `surge`: an old one goes once a new one is ready.
    #[default]
    Surge,
    /// `recreate`: a new one starts once an old one has gone.
    Recreate,
}

/// The signals that may ask a replica to end.
pub const STOP_SIGNALS: &[&str] = &[
    "SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL",
];

/// What [`ProcessSpec::fill`] puts in.
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
}

// === impl ProcessSpec ===

impl ProcessSpec {
    /// Whether a replica has a port of its own for gRPC: `{grpcPort}` is somewhere in its command.
    #[must_use]
    pub fn has_grpc_port(&self) -> bool {
        self.command
            .iter()
            .chain(self.env.values())
            .any(|word| word.contains("{grpcPort}"))
    }

    /// `text` with its placeholders replaced. Other words in braces stay as they are; what is put
    /// in is not searched again, so a model's `storageUri` cannot smuggle in a placeholder.
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
            } else {
                filled.push('{');
                &from[1..]
            };
        }
        filled.push_str(rest);
        filled
    }
}

// === impl Readiness ===

impl Readiness {
    /// `GET` of this path, answered 2xx.
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
            ("{other} {", "{other} {"),
            ("{{port}}", "{8123}"),
            ("é{model}é", "éirisé"),
        ] {
            let with = Filling {
                port: 8123,
                grpc_port: 8124,
                model: "iris",
                storage_uri: "s3://{model}",
            };
            assert_eq!(ProcessSpec::fill(text, &with), filled, "{text}");
        }
    }
}

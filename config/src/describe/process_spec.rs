//! The rows of a process server.

use super::{Row, seconds};
use crate::variables::NONE;
use crate::{Listener, Origin, ProcessSpec, Readiness, Strategy};

/// One row for each field of `spec`, without the command, which has a row elsewhere. Of variables
/// and headers only the names are shown, because their values may be secret.
pub(super) fn rows(spec: &ProcessSpec, origin: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut set = |name, value: String, origin: &Origin| {
        rows.push((name, value, origin.to_string()));
    };
    set("ready", ready(&spec.ready), &spec.ready.origin);
    if let Some(path) = &spec.metrics_path.value {
        set("metricsPath", path.clone(), &spec.metrics_path.origin);
    }
    set("startSeconds", seconds(&spec.start), &spec.start.origin);
    let drain = spec.drain.as_ref().map_or_else(|| NONE.to_owned(), seconds);
    set("drainSeconds", drain, &spec.drain.origin);
    set("stopSeconds", seconds(&spec.stop), &spec.stop.origin);
    let mut row = |name, value: String| rows.push((name, value, origin.to_owned()));
    let strategy = match spec.strategy {
        Strategy::Surge => "surge",
        Strategy::Recreate => "recreate",
    };
    row("strategy", strategy.into());
    if spec.stop_signal != "SIGTERM" {
        row("stopSignal", spec.stop_signal.into());
    }
    if let Some(program) = spec.stop_command.first() {
        row("stopCommand", program.clone());
    }
    for warm_up in &spec.warm_up {
        let times = match warm_up.count {
            1 => String::new(),
            count => format!(", {count} times"),
        };
        row(
            "warmUp",
            format!("{} {}{times}", warm_up.method, warm_up.path),
        );
    }
    if spec.listener == Listener::Any {
        row("listener", "any".into());
    }
    if !spec.env.is_empty() {
        let names: Vec<_> = spec.env.keys().map(String::as_str).collect();
        row("env", names.join(", "));
    }
    if !spec.inherit_env.is_empty() {
        row("inheritEnv", spec.inherit_env.join(", "));
    }
    if let Some(user) = &spec.user {
        row("user", user.clone());
    }
    if let Some(nice) = spec.nice {
        row("limits.nice", nice.to_string());
    }
    if let Some(files) = spec.open_files {
        row("limits.openFiles", files.to_string());
    }
    if let Some(bytes) = spec.memory {
        row("limits.memory", format!("{bytes} bytes"));
    }
    rows
}

fn ready(ready: &Readiness) -> String {
    let probe = match ready {
        Readiness::Http(probe) => probe,
        Readiness::Grpc(probe) if probe.service.is_empty() => return "grpc".into(),
        Readiness::Grpc(probe) => return format!("grpc {}", probe.service),
        Readiness::Tcp => return "tcp".into(),
        Readiness::Line(pattern) => return format!("line {}", pattern.as_str()),
        Readiness::None => return NONE.into(),
    };
    let mut text = probe.path.clone();
    if !probe.headers.is_empty() {
        let names: Vec<_> = probe.headers.keys().map(String::as_str).collect();
        text += &format!(" with {}", names.join(", "));
    }
    if !probe.codes.is_empty() {
        let codes: Vec<_> = probe.codes.iter().map(u16::to_string).collect();
        text += &format!(" answers {}", codes.join(", "));
    }
    text
}

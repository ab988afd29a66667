//! Writes the configuration for people: each setting, its value, and its origin.

mod process;
mod process_spec;

use std::fmt::Write;
use std::time::Duration;

use crate::number::{show_bytes, show_seconds};
use crate::variables::NONE;
use crate::{
    Config, Endpoint, FairBy, HealthCheck, HostHeader, Kind, LoadBalancing, Model, Origin,
    OutlierDetection, Protocol, RateLimit, RequestTimeouts, ResponseModel, Retry, Server, Setting,
};

/// One line of a table: setting, value, origin.
type Row = (&'static str, String, String);

/// The configuration as text: a table for each model, each server that no model uses, and the
/// process.
#[must_use]
pub fn describe(config: &Config) -> String {
    let mut text = String::new();
    for model in config.models.values() {
        table(
            &mut text,
            &format!("model {}", model.place),
            &model_rows(model),
        );
    }
    for server in config.servers.values() {
        if !config
            .models
            .values()
            .any(|model| model.server.name == server.name)
        {
            table(
                &mut text,
                &format!("server {}", server.place),
                &[server_row(server, "no model uses it".into())],
            );
        }
    }
    table(&mut text, "process", &process::rows(&config.process));
    text
}

fn model_rows(model: &Model) -> Vec<Row> {
    let replicas = &model.replicas;
    let max = if replicas.max == u32::MAX {
        "no limit".into()
    } else {
        replicas.max.to_string()
    };
    let mut rows = vec![server_row(
        &model.server,
        Origin::Server(model.server.place.clone()).to_string(),
    )];
    if let Some(spec) = model.server.process() {
        let origin = Origin::Server(model.server.place.clone()).to_string();
        rows.extend(process_spec::rows(spec, &origin));
    }
    if !model.aliases.is_empty() {
        rows.push((
            "aliases",
            model.aliases.join(", "),
            Origin::Model(model.place.clone()).to_string(),
        ));
    }
    if !model.wildcards.is_empty() {
        let all = model.wildcards.iter().map(|start| format!("{start}*"));
        rows.push((
            "wildcards",
            all.collect::<Vec<_>>().join(", "),
            Origin::Model(model.place.clone()).to_string(),
        ));
    }
    if !model.allow.is_empty() {
        rows.push((
            "allow",
            model.allow.join(", "),
            Origin::Model(model.place.clone()).to_string(),
        ));
    }
    if model.response_model == ResponseModel::Requested {
        rows.push((
            "responseModel",
            "requested".to_owned(),
            Origin::Model(model.place.clone()).to_string(),
        ));
    }
    if replicas.scaled {
        rows.push((
            "minReplicas",
            replicas.min.to_string(),
            replicas.min_origin.to_string(),
        ));
        rows.push(("maxReplicas", max, replicas.max_origin.to_string()));
        rows.push((
            "replicas",
            format!("{} at start", replicas.initial),
            replicas.initial_origin.to_string(),
        ));
    } else if replicas.is_followed() {
        rows.push((
            "replicas",
            "as many as the workload has, not scaled".into(),
            replicas.initial_origin.to_string(),
        ));
    } else {
        rows.push((
            "replicas",
            format!("{}, not scaled", replicas.initial),
            replicas.initial_origin.to_string(),
        ));
    }
    if let Some(memory) = model.memory {
        rows.push((
            "memory",
            show_bytes(memory),
            Origin::Model(model.place.clone()).to_string(),
        ));
    }
    let (hold, scaling) = (&model.hold, &model.scaling);
    rows.push(row("concurrency", &model.concurrency, |limit| {
        limit.map_or_else(|| "no limit".to_owned(), |limit| limit.to_string())
    }));
    rows.push(row("hold.queue", &hold.queue, u32::to_string));
    rows.push(row("hold.seconds", &hold.deadline, seconds));
    if let Some(classes) = &hold.classes.value {
        let origin = hold.classes.origin.to_string();
        rows.push(("hold.classes", classes.to_string(), origin));
    }
    if hold.fair_by.value != FairBy::None {
        rows.push(row("hold.fairBy", &hold.fair_by, FairBy::to_string));
    }
    rows.extend(timeout_rows(&model.timeouts));
    if model.include_usage.value {
        let setting = &model.include_usage;
        rows.push(row("includeUsage", setting, bool::to_string));
    }
    rows.push(row("retry", &model.retry, |retry| {
        let shown = retry.as_ref().map(Retry::to_string);
        shown.unwrap_or_else(|| NONE.to_owned())
    }));
    if replicas.scaled {
        rows.push(row("scaling.policy", &scaling.policy, |policy| {
            policy.to_string()
        }));
        rows.push(row("scaling.lagThreshold", &scaling.lag_threshold, |lag| {
            lag.to_string()
        }));
        rows.push(row("scaling.inactiveSeconds", &scaling.inactive, seconds));
        rows.push(row("scaling.stabilitySeconds", &scaling.stability, seconds));
        rows.push(row(
            "scaling.targetWaitSeconds",
            &scaling.target_wait,
            seconds,
        ));
        let limit = |limit: &Option<RateLimit>| {
            limit.map_or_else(|| NONE.to_owned(), |limit| limit.to_string())
        };
        rows.push(row("scaling.scaleUpLimit", &scaling.up_limit, limit));
        rows.push(row("scaling.scaleDownLimit", &scaling.down_limit, limit));
        rows.push(row("scaling.dryRun", &scaling.dry_run, bool::to_string));
    }
    if scaling.pin.value {
        rows.push(row("scaling.pin", &scaling.pin, bool::to_string));
    }
    rows
}

fn timeout_rows(timeouts: &RequestTimeouts) -> [Row; 5] {
    let total = |limit: &Option<Duration>| limit.map_or_else(|| NONE.to_owned(), show_seconds);
    [
        row("timeouts.connectSeconds", &timeouts.connect, seconds),
        row(
            "timeouts.responseHeaderSeconds",
            &timeouts.response_header,
            seconds,
        ),
        row("timeouts.firstByteSeconds", &timeouts.first_byte, seconds),
        row("timeouts.streamIdleSeconds", &timeouts.stream_idle, seconds),
        row("timeouts.totalSeconds", &timeouts.total, total),
    ]
}

fn row<T>(name: &'static str, setting: &Setting<T>, show: impl Fn(&T) -> String) -> Row {
    (name, show(&setting.value), setting.origin.to_string())
}

fn seconds(duration: &Duration) -> String {
    show_seconds(*duration)
}

fn server_row(server: &Server, origin: String) -> Row {
    let how = match &server.kind {
        Kind::Process(spec) => format!("process {}", spec.command.join(" ")),
        Kind::Static(spec) => {
            let shown = |endpoint: &Endpoint| match &endpoint.grpc {
                Some(grpc) => format!("{endpoint} (gRPC {grpc})"),
                None => endpoint.to_string(),
            };
            let endpoints: Vec<_> = spec.endpoints.iter().map(shown).collect();
            let tls = if spec.tls.is_some() { " by TLS" } else { "" };
            let resolve = spec.resolve.map_or_else(String::new, |every| {
                format!(", looked up every {}", show_seconds(every))
            });
            format!("static {}{tls}{resolve}", endpoints.join(" "))
        }
        Kind::Kubernetes(spec) => format!("kubernetes {spec}"),
        Kind::Webhook(spec) => format!("webhook {spec}"),
        Kind::Seldon(spec) => format!("seldon {spec}"),
    };
    let host = match &server.host_header {
        HostHeader::Pass => String::new(),
        HostHeader::Upstream => ", hostHeader upstream".to_owned(),
        HostHeader::Given(host) => format!(", hostHeader {host}"),
    };
    let protocol = match server.protocol {
        Protocol::Auto => String::new(),
        other => format!(", protocol {}", other.as_str()),
    };
    let key = match &server.upstream_key {
        None => String::new(),
        Some(key) => format!(", upstreamKey {key}"),
    };
    let balancing = match &server.load_balancing {
        LoadBalancing::PowerOfTwo => String::new(),
        other => format!(", loadBalancing {other}"),
    };
    let ejection = match &server.outlier_detection {
        None => ", outlierDetection none".to_owned(),
        Some(usual) if *usual == OutlierDetection::default() => String::new(),
        Some(set) => format!(", outlierDetection {set}"),
    };
    let check = match &server.health_check {
        None => ", healthCheck none".to_owned(),
        Some(usual) if *usual == HealthCheck::default() => String::new(),
        Some(set) => format!(", healthCheck {set}"),
    };
    let slow = match &server.slow_start {
        None => String::new(),
        Some(set) => format!(", slowStart {set}"),
    };
    (
        "server",
        format!(
            "{}: {how}{protocol}{host}{key}{balancing}{ejection}{check}{slow}",
            server.name
        ),
        origin,
    )
}

/// Adds a table with a title and aligned columns.
fn table(text: &mut String, title: &str, rows: &[Row]) {
    if !text.is_empty() {
        text.push('\n');
    }
    let width = |column: fn(&Row) -> &str| {
        rows.iter()
            .map(|row| column(row).chars().count())
            .max()
            .unwrap_or(0)
    };
    // A long command extends to the right and does not widen its column.
    let (name, value) = (width(|row| row.0), width(|row| &row.1).min(30));
    let mut line = |line: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line}");
    };
    line(format_args!("{title}"));
    for row in rows {
        line(format_args!(
            "  {:name$}  {:value$}  {}",
            row.0, row.1, row.2
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::describe;
    use crate::variables::{
        CORES, FROM_CONTROL_GROUP, FROM_DESCRIPTORS, NONE, OWN_NAMESPACE, Scope, VARIABLES,
    };
    use crate::{Env, load_text};

    fn of_opentelemetry(name: &str) -> &'static str {
        match name.rsplit('_').next() {
            Some("ENDPOINT") => "http://c:4317",
            Some("PROTOCOL") => "grpc",
            Some("TIMEOUT") => "1",
            _ => "a=b",
        }
    }

    #[test]
    fn every_variable_of_the_process_is_named_beside_the_value_it_set() {
        let all: Vec<_> = VARIABLES
            .iter()
            .filter(|variable| variable.scope == Scope::Process)
            .collect();
        let env = all.iter().map(|variable| {
            let value = match (variable.name, variable.default) {
                ("TAILBACK_ADMIN_TOKEN", _) => "0123456789abcdef",
                ("TAILBACK_CORS_ORIGINS", _) => "https://a.example",
                (name, NONE) if name.starts_with("OTEL_") => of_opentelemetry(name),
                // There is no default, or it is computed at the start.
                (_, NONE | OWN_NAMESPACE) => "name",
                (_, CORES | FROM_DESCRIPTORS) => "7",
                (_, FROM_CONTROL_GROUP) => "512Mi",
                (_, default) => default,
            };
            (variable.name, value)
        });
        let api = "apiVersion: tailback.dev/v1alpha1";
        let text = format!(
            "{{ {api}, kind: Server, metadata: {{ name: up }}, spec: {{ static: {{ endpoints: ['http://a'] }} }} }}\n---\n\
             {{ {api}, kind: Model, metadata: {{ name: m }}, spec: {{ server: up }} }}\n"
        );
        let config = load_text(Path::new("a.yaml"), &text, &env.collect()).unwrap();
        let found = describe(&config);
        for variable in all {
            let origin = format!("  environment {}\n", variable.name);
            assert_eq!(found.matches(&origin).count(), 1, "{origin}{found}");
        }
    }

    #[test]
    fn a_model_is_described_with_each_setting_its_value_and_its_origin() {
        let text = include_str!("../fixtures/process.yaml");
        let env = Env::from([("TAILBACK_HOLD_SECONDS", "2.5"), ("TAILBACK_WORKERS", "2")]);
        let config = load_text(Path::new("a.yaml"), text, &env).unwrap();
        let expected = "\
model tfsimple (a.yaml, document 2, line 14)
  server                          sample: process sample-server --port {port} --model {model}  server sample (a.yaml, document 1, line 1)
  ready                           /v2/health/ready                server sample (a.yaml, document 1, line 11)
  startSeconds                    300 s                           default
  drainSeconds                    30 s                            server sample (a.yaml, document 1, line 12)
  stopSeconds                     10 s                            default
  strategy                        surge                           server sample (a.yaml, document 1, line 1)
  minReplicas                     1                               model tfsimple (a.yaml, document 2, line 21)
  maxReplicas                     4                               server sample (a.yaml, document 1, line 1)
  replicas                        1 at start                      model tfsimple (a.yaml, document 2, line 22)
  memory                          100Ki                           model tfsimple (a.yaml, document 2, line 14)
  concurrency                     8                               server sample (a.yaml, document 1, line 1)
  hold.queue                      10000                           default
  hold.seconds                    2.5 s                           environment TAILBACK_HOLD_SECONDS
  timeouts.connectSeconds         5 s                             default
  timeouts.responseHeaderSeconds  600 s                           default
  timeouts.firstByteSeconds       600 s                           default
  timeouts.streamIdleSeconds      600 s                           default
  timeouts.totalSeconds           none                            default
  retry                           none                            default
";
        let found = describe(&config);
        assert!(found.starts_with(expected), "{found}");
    }
}

//! Reads a `Server` document.

use crate::listed::listed;
use crate::manifest::fields::{Fields, Value};
use crate::manifest::{
    call, health, kubernetes, load_balancing, multi_model, overrides, process, seldon,
    static_endpoints, webhook,
};
use crate::suggest::hint;
use crate::{
    Endpoint, Env, HealthCheck, HostHeader, Kind, LoadBalancing, ObjectLocation, Origin, Protocol,
    Readiness, Server,
};

/// Reads the settings of one kind of server; errors are noted.
type KindReader = fn(&Value<'_>, &ObjectLocation, &Env) -> Option<Kind>;

/// The field for each kind of server, and what reads it.
const KINDS: [(&str, KindReader); 5] = [
    ("process", |value, place, env| {
        process::read(value, place, env).map(|spec| Kind::Process(Box::new(spec)))
    }),
    ("static", |value, place, _| {
        static_endpoints::read(value, place).map(Kind::Static)
    }),
    ("kubernetes", |value, place, _| {
        kubernetes::read(value, place).map(Kind::Kubernetes)
    }),
    ("webhook", |value, place, env| {
        webhook::read(value, place, env).map(Kind::Webhook)
    }),
    ("seldon", |value, place, _| {
        seldon::read(value, place).map(Kind::Seldon)
    }),
];

/// The counts of a server.
const COUNTS: [&str; 3] = ["minReplicas", "maxReplicas", "replicas"];

/// Which kind of document the server's fields are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A `Server`.
    Server,
    /// A `ServerConfig`: the servers of Seldon that name it are run like this, and each replica
    /// hosts many models.
    Config,
}

/// Reads the server; errors are noted.
pub(super) fn read(spec: &Fields<'_>, place: ObjectLocation, env: &Env) -> Option<Server> {
    read_as(Role::Server, spec, place, env)
}

/// Reads a `ServerConfig`; errors are noted.
pub(super) fn read_config(spec: &Fields<'_>, place: ObjectLocation, env: &Env) -> Option<Server> {
    let before = spec.failed();
    for count in COUNTS.iter().filter_map(|name| spec.get(name)) {
        count.rule("each Server that names this ServerConfig has counts of its own; set it there");
    }
    let server = read_as(Role::Config, spec, place, env);
    server.filter(|_| spec.failed() == before)
}

fn read_as(role: Role, spec: &Fields<'_>, place: ObjectLocation, env: &Env) -> Option<Server> {
    let before = spec.failed();
    let capabilities = spec
        .get("capabilities")
        .and_then(|value| value.words())
        .unwrap_or_default();
    let memory = spec.get("memory").and_then(|value| value.bytes());
    let concurrency = spec
        .get("concurrency")
        .and_then(|value| value.count_from_one());
    let max_replicas = spec.get("maxReplicas").and_then(|value| read_max(&value));
    let overrides = overrides::read(spec, &place, Origin::Server);
    let protocol = spec
        .get("protocol")
        .map_or(Some(Protocol::default()), |value| read_protocol(&value));
    let host_header = spec
        .get("hostHeader")
        .map_or(Some(HostHeader::default()), |value| read_host(&value));
    let upstream_key = spec
        .get("upstreamKey")
        .map(|value| call::read_key(&value, env));
    let load_balancing = spec
        .get("loadBalancing")
        .map_or(Some(LoadBalancing::default()), |value| {
            load_balancing::read(&value)
        });
    let outlier_detection = health::read_outlier_detection(spec);
    let health_check = health::read_health_check(spec);
    let slow_start = health::read_slow_start(spec);
    let kind = read_kind(spec, &place, env);
    if let (Some(Kind::Static(_)), Some(value)) = (&kind, spec.get("maxReplicas")) {
        value.rule(
            "a static server has the replicas its endpoints are and is never scaled; remove it",
        );
    }
    if let (Some(kind), Some(protocol), Some(value)) = (&kind, protocol, spec.get("protocol")) {
        check_protocol(kind, protocol, &value);
    }
    if let (Some(kind), Some(Some(check)), Some(value)) =
        (&kind, &health_check, spec.get("healthCheck"))
    {
        check_probe(kind, check, &value);
    }
    let kind = kind?;
    let multi_model = match role {
        Role::Server => multi_model::read(spec, &place, &kind, max_replicas),
        Role::Config => multi_model::read_config(spec, &place, &kind),
    };
    let protocol = protocol.filter(|_| spec.failed() == before)?;
    Some(Server {
        name: place.name.clone(),
        place,
        capabilities,
        memory,
        concurrency,
        max_replicas,
        protocol,
        host_header: host_header?,
        upstream_key: match upstream_key {
            Some(key) => Some(key?),
            None => None,
        },
        load_balancing: load_balancing?,
        outlier_detection: outlier_detection?,
        health_check: health_check?,
        slow_start: slow_start?,
        kind,
        multi_model,
        overrides,
    })
}

fn read_max(value: &Value<'_>) -> Option<u32> {
    value.count_from_one().map(u32::from)
}

/// Reads the kind: exactly one field of [`KINDS`] must be set.
fn read_kind(spec: &Fields<'_>, place: &ObjectLocation, env: &Env) -> Option<Kind> {
    let all = || listed(KINDS.map(|(name, _)| name), "and");
    let mut given = Vec::new();
    let mut kind = None;
    for (name, read) in KINDS {
        let Some(value) = spec.get(name) else {
            continue;
        };
        if let Some(first) = given.first() {
            value.rule(&format!(
                "`{first}` is set as well; expected exactly one of {}",
                all()
            ));
        }
        given.push(name);
        // Each is read, so that all errors are found.
        let found = read(&value, place, env);
        kind = kind.or(found);
    }
    if given.is_empty() {
        spec.rule(&format!(
            "found none of {}, expected exactly one of them",
            all()
        ));
    }
    kind
}

fn read_protocol(value: &Value<'_>) -> Option<Protocol> {
    let text = value.text()?;
    let protocol = Protocol::parse(&text);
    if protocol.is_none() {
        let hint = hint(
            &text,
            Protocol::ALL.iter().map(|protocol| protocol.as_str()),
        );
        let all = Protocol::ALL.iter().map(|protocol| protocol.as_str());
        value.wrong(&format!("{}{hint}", listed(all, "or")));
    }
    protocol
}

/// Reads `pass`, `upstream`, or a host.
fn read_host(value: &Value<'_>) -> Option<HostHeader> {
    let text = value.text()?;
    match text.as_str() {
        "pass" => return Some(HostHeader::Pass),
        "upstream" => return Some(HostHeader::Upstream),
        host if Endpoint::parse(&format!("http://{host}")).is_some() => {}
        _ => {
            value.wrong("pass, upstream, or a host such as models.example.org or a.example:8080");
            return None;
        }
    }
    Some(HostHeader::Given(text))
}

/// Checks that the endpoints match the protocol: `h2` needs TLS, and `h2c` clear text.
fn check_protocol(kind: &Kind, protocol: Protocol, value: &Value<'_>) {
    let secure = kind.tls().is_some();
    match protocol {
        Protocol::H2 if !secure => value.rule(
            "h2 is HTTP/2 under TLS, and the replicas are reached in clear text; expected h2c, or \
             https endpoints",
        ),
        Protocol::H2c if secure => value.rule(
            "h2c is HTTP/2 in clear text, and the endpoints are https; expected h2, or http endpoints",
        ),
        _ => {}
    }
}

/// Checks that the endpoints can be probed: probes by HTTP and gRPC do not use TLS.
fn check_probe(kind: &Kind, check: &HealthCheck, value: &Value<'_>) {
    let is_clear = matches!(check.probe, Some(Readiness::Http(_) | Readiness::Grpc(_)));
    if is_clear && kind.tls().is_some() {
        value.rule(
            "the probe is in clear text, and the endpoints are https; expected probe: tcp, or http endpoints",
        );
    }
}

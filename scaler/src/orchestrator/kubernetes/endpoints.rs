//! Reads the endpoints of a Service from its EndpointSlices. Pure.
//!
//! The slices of a Service change one by one. While an endpoint moves, it may be in two of them,
//! or in none for a moment. If a Service has addresses of both families, each pod is in a slice
//! of each.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use tailback_config::{Service, ServicePort};

/// The state of an endpoint.
///
/// If two slices contradict each other, the greater value wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EndpointPhase {
    /// It takes no requests now.
    NotReady,
    /// It takes requests.
    Ready,
    /// Its pod terminates: it takes no new requests.
    Terminating,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundEndpoint {
    /// Its pod, if it belongs to one.
    pub pod: Option<Pod>,
    /// `host:port`.
    pub authority: String,
    /// `host:port` for gRPC, if it has a port of its own.
    pub grpc: Option<String>,
    pub phase: EndpointPhase,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pod {
    pub name: String,
    pub uid: String,
}

/// The endpoints of all slices together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Endpoints {
    /// At most one for each pod, and one for each address without a pod.
    pub found: Vec<FoundEndpoint>,
    /// Why endpoints are missing: their slice does not have the port.
    pub trouble: Option<String>,
}

/// Reads the endpoints of `service` from its `slices`.
pub(crate) fn read<'a>(
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    service: &Service,
) -> Endpoints {
    // Keyed by pod, or by address without one. IPv4 wins over IPv6.
    let mut found: BTreeMap<(Option<Pod>, String), (Family, FoundEndpoint)> = BTreeMap::new();
    let mut trouble = BTreeSet::new();
    for slice in slices {
        if slice.endpoints.is_empty() {
            continue;
        }
        let family = Family::of(&slice.address_type);
        let ports = slice.ports.as_deref().unwrap_or_default();
        let (port, grpc) = match (
            pick(ports, service.port.as_ref()),
            service
                .grpc_port
                .as_ref()
                .map(|grpc| pick(ports, Some(grpc))),
        ) {
            (Ok(port), None) => (port, None),
            (Ok(port), Some(Ok(grpc))) => (port, Some(grpc)),
            (Err(why), _) | (_, Some(Err(why))) => {
                trouble.insert(format!("Service {} {why}", service.name));
                continue;
            }
        };
        for endpoint in &slice.endpoints {
            let Some(address) = endpoint.addresses.first() else {
                continue;
            };
            let one = FoundEndpoint {
                pod: pod(endpoint),
                authority: authority(address, port),
                grpc: grpc.map(|port| authority(address, port)),
                phase: phase(endpoint),
            };
            let key = match &one.pod {
                Some(pod) => (Some(pod.clone()), String::new()),
                None => (None, one.authority.clone()),
            };
            match found.get_mut(&key) {
                None => {
                    found.insert(key, (family, one));
                }
                Some((known, other)) => {
                    let phase = other.phase.max(one.phase);
                    if family < *known {
                        (*known, *other) = (family, one);
                    }
                    other.phase = phase;
                }
            }
        }
    }
    Endpoints {
        found: found.into_values().map(|(_, one)| one).collect(),
        trouble: trouble.pop_first(),
    }
}

/// A slice's kind of addresses, in order of preference.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
    Other,
}

impl Family {
    fn of(address_type: &str) -> Self {
        match address_type {
            "IPv4" => Self::V4,
            "IPv6" => Self::V6,
            _ => Self::Other,
        }
    }
}

fn pod(endpoint: &Endpoint) -> Option<Pod> {
    let target = endpoint.target_ref.as_ref()?;
    (target.kind.as_deref() == Some("Pod")).then_some(())?;
    Some(Pod {
        name: target.name.clone()?,
        uid: target.uid.clone()?,
    })
}

/// By the definition of `EndpointConditions`, a missing `ready` is true and a missing
/// `terminating` is false. Terminating wins over ready: a Service with `publishNotReadyAddresses`
/// reports all endpoints as ready.
fn phase(endpoint: &Endpoint) -> EndpointPhase {
    let conditions = endpoint.conditions.as_ref();
    if conditions.and_then(|c| c.terminating).unwrap_or(false) {
        EndpointPhase::Terminating
    } else if conditions.and_then(|c| c.ready).unwrap_or(true) {
        EndpointPhase::Ready
    } else {
        EndpointPhase::NotReady
    }
}

/// The number of the port `wanted`; `None`: of the only port.
///
/// # Errors
/// The rest of a sentence that begins with the Service's name.
fn pick(ports: &[EndpointPort], wanted: Option<&ServicePort>) -> Result<u16, String> {
    let number = |port: &EndpointPort| port.port.and_then(|port| u16::try_from(port).ok());
    let tcp = |port: &&EndpointPort| port.protocol.as_deref().unwrap_or("TCP") == "TCP";
    let mut all = ports.iter().filter(tcp);
    let found = match wanted {
        None => match (all.next(), all.next()) {
            (Some(only), None) => number(only),
            (None, _) => None,
            _ => return Err(format!("has several ports ({}); set `port`", listed(ports))),
        },
        Some(ServicePort::Name(name)) => all
            .find(|port| port.name.as_deref().unwrap_or_default() == name)
            .and_then(number),
        Some(ServicePort::Number(wanted)) => all.filter_map(number).find(|port| port == wanted),
    };
    found.ok_or_else(|| {
        let wanted = wanted.map_or_else(String::new, |port| format!(" {port}"));
        format!(
            "has no port{wanted}: its pods have {} (a number must be the pods' own port, targetPort)",
            listed(ports)
        )
    })
}

fn listed(ports: &[EndpointPort]) -> String {
    if ports.is_empty() {
        return "none".into();
    }
    let one = |port: &EndpointPort| {
        let number = port.port.unwrap_or_default();
        match port.name.as_deref() {
            Some(name) if !name.is_empty() => format!("{name} {number}"),
            _ => number.to_string(),
        }
    };
    ports.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn authority(address: &str, port: u16) -> String {
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn service(port: Option<&str>, grpc: Option<u16>) -> Service {
        Service {
            name: "llama".into(),
            port: port.map(|port| ServicePort::Name(port.into())),
            grpc_port: grpc.map(ServicePort::Number),
        }
    }

    fn slice(family: &str, endpoints: Value) -> EndpointSlice {
        serde_json::from_value(json!({
            "addressType": family,
            "metadata": { "name": "llama-x" },
            "ports": [{ "name": "http", "port": 8080 }, { "name": "grpc", "port": 8081 }],
            "endpoints": endpoints,
        }))
        .unwrap()
    }

    fn endpoint(address: &str, pod: &str, conditions: Value) -> Value {
        json!({
            "addresses": [address], "conditions": conditions,
            "targetRef": { "kind": "Pod", "name": pod, "uid": format!("u-{pod}") },
        })
    }

    fn phases(slices: &[EndpointSlice]) -> Vec<(String, EndpointPhase)> {
        let read = read(slices, &service(Some("http"), None));
        assert_eq!(read.trouble, None);
        let found = read.found.into_iter();
        found.map(|one| (one.authority, one.phase)).collect()
    }

    #[test]
    fn ready_not_ready_and_terminating_are_distinguished() {
        use EndpointPhase::*;
        for (conditions, expected) in [
            (json!(null), Ready),
            (json!({ "ready": true, "serving": true }), Ready),
            (json!({ "ready": false }), NotReady),
            (
                json!({ "ready": false, "serving": true, "terminating": true }),
                Terminating,
            ),
            (
                json!({ "ready": false, "serving": false, "terminating": true }),
                Terminating,
            ),
            (json!({ "ready": true, "terminating": true }), Terminating),
            (json!({ "ready": true, "terminating": false }), Ready),
        ] {
            let slices = [slice(
                "IPv4",
                json!([endpoint("10.0.0.1", "a", conditions.clone())]),
            )];
            let found = phases(&slices);
            assert_eq!(
                found,
                [("10.0.0.1:8080".to_owned(), expected)],
                "{conditions}"
            );
        }
    }

    #[test]
    fn a_pod_in_several_slices_is_one_endpoint() {
        let slices = [
            slice(
                "IPv6",
                json!([endpoint("fd00::1", "a", json!({ "ready": true }))]),
            ),
            slice(
                "IPv4",
                json!([endpoint("10.0.0.1", "a", json!({ "ready": false }))]),
            ),
            slice(
                "IPv4",
                json!([endpoint("10.0.0.1", "a", json!({ "ready": true }))]),
            ),
            slice(
                "IPv6",
                json!([endpoint("fd00::2", "b", json!({ "ready": true }))]),
            ),
            slice("IPv4", json!(null)),
        ];
        let expected = [
            ("10.0.0.1:8080".to_owned(), EndpointPhase::Ready),
            ("[fd00::2]:8080".to_owned(), EndpointPhase::Ready),
        ];
        assert_eq!(phases(&slices), expected);
    }

    #[test]
    fn endpoints_without_a_pod_are_distinguished_by_address() {
        let slices = [slice(
            "IPv4",
            json!([{ "addresses": ["10.0.0.1"] }, { "addresses": ["10.0.0.2"] }]),
        )];
        assert_eq!(phases(&slices).len(), 2);
    }

    #[test]
    fn grpc_has_a_port_of_its_own_where_one_is_named() {
        let slices = [slice("IPv4", json!([endpoint("10.0.0.1", "a", json!({}))]))];
        let read = read(&slices, &service(Some("http"), Some(8081)));
        assert_eq!(read.found[0].grpc.as_deref(), Some("10.0.0.1:8081"));
    }

    #[test]
    fn the_error_for_a_missing_port_lists_the_existing_ones() {
        let slices = [slice("IPv4", json!([endpoint("10.0.0.1", "a", json!({}))]))];
        for (service, expected) in [
            (
                service(Some("web"), None),
                "Service llama has no port web: its pods have http 8080, grpc 8081 \
                 (a number must be the pods' own port, targetPort)",
            ),
            (
                service(None, None),
                "Service llama has several ports (http 8080, grpc 8081); set `port`",
            ),
            (
                service(Some("http"), Some(80)),
                "Service llama has no port 80: its pods have http 8080, grpc 8081 \
                 (a number must be the pods' own port, targetPort)",
            ),
        ] {
            let read = read(&slices, &service);
            assert_eq!(
                (read.found.len(), read.trouble.as_deref()),
                (0, Some(expected))
            );
        }
    }

    proptest! {
        /// A pod is found once, however its endpoints are spread over slices.
        #[test]
        fn each_pod_is_there_once_whatever_slices_it_is_in(
            places in prop::collection::vec((0usize..4, 0u8..6, any::<Option<bool>>(), any::<Option<bool>>()), 0..40),
        ) {
            let mut slices: Vec<Vec<Value>> = vec![Vec::new(); 4];
            for &(at, pod, ready, terminating) in &places {
                let conditions = json!({ "ready": ready, "terminating": terminating });
                let address = format!("10.0.{at}.{pod}");
                slices[at].push(endpoint(&address, &format!("p{pod}"), conditions));
            }
            let slices: Vec<_> = slices.into_iter().map(|all| slice("IPv4", json!(all))).collect();
            let read = read(&slices, &service(Some("http"), None));
            let pods: BTreeSet<_> = read.found.iter().map(|one| one.pod.clone()).collect();
            let expected: BTreeSet<_> = places.iter().map(|place| place.1).collect();
            prop_assert_eq!(read.found.len(), expected.len());
            prop_assert_eq!(pods.len(), expected.len());
            for one in &read.found {
                let pod = one.pod.as_ref().unwrap();
                let of_it = places.iter().filter(|place| format!("p{}", place.1) == pod.name);
                let goes = of_it.clone().any(|place| place.3 == Some(true));
                prop_assert_eq!(one.phase == EndpointPhase::Terminating, goes);
            }
        }
    }
}

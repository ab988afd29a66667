//! Discovers the proxies by the EndpointSlices of their Service. Proxies that are not ready or
//! terminating count as well: they may have requests in flight.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, ResourceExt};
use tailback_config::{Peers, Service, ServicePort};
use tokio::sync::mpsc;

use super::{MembershipEvent, TroubleSource};
use crate::orchestrator::kubernetes::{
    cluster::Cluster,
    endpoints,
    watch::{Only, Scope, WatchEvent, watch},
};

/// The name of the admin port, if the Service has several ports.
const PORT: &str = "admin";

/// Sends the list of proxies to `events` whenever it changes. Never returns.
pub(super) async fn discover(
    cluster: Arc<Cluster>,
    peers: Peers,
    events: mpsc::UnboundedSender<MembershipEvent>,
) {
    let (sender, changes) = mpsc::unbounded_channel();
    let namespace = peers.namespace.clone();
    let scope = Scope {
        api: Box::new(move |client| match &namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::default_namespaced(client),
        }),
        only: Only::Labelled(format!("kubernetes.io/service-name={}", peers.service)),
        group: "discovery.k8s.io".into(),
        resource: "endpointslices".into(),
        namespace: match &peers.namespace {
            Some(namespace) => namespace.clone(),
            None => "of the service account".into(),
        },
    };
    tokio::select! {
        () = watch(cluster, scope, sender) => {}
        () = gather(changes, &peers, &events) => {}
    }
}

async fn gather(
    mut changes: mpsc::UnboundedReceiver<WatchEvent<EndpointSlice>>,
    peers: &Peers,
    events: &mpsc::UnboundedSender<MembershipEvent>,
) {
    let mut slices = BTreeMap::new();
    while let Some(change) = changes.recv().await {
        let why = match change {
            WatchEvent::Trouble(why) => Some(why),
            other => {
                take_in(&mut slices, other);
                let (addresses, why) = addresses(slices.values(), &peers.service);
                let _ = events.send(MembershipEvent::Listed(addresses));
                why
            }
        };
        // Cannot fail: the receiver outlives this task.
        let of = TroubleSource::List;
        let _ = events.send(MembershipEvent::Trouble { of, why });
    }
}

fn take_in(slices: &mut BTreeMap<String, EndpointSlice>, change: WatchEvent<EndpointSlice>) {
    match change {
        WatchEvent::All(all) => {
            *slices = all
                .into_iter()
                .map(|slice| (slice.name_any(), slice))
                .collect();
        }
        WatchEvent::Applied(slice) => {
            slices.insert(slice.name_any(), *slice);
        }
        WatchEvent::Deleted(slice) => {
            slices.remove(&slice.name_any());
        }
        WatchEvent::Trouble(_) => {}
    }
}

/// The admin addresses in `slices`, and why some are missing.
fn addresses<'a>(
    slices: impl Iterator<Item = &'a EndpointSlice> + Clone,
    service: &str,
) -> (BTreeSet<SocketAddr>, Option<String>) {
    let mut ports = slices
        .clone()
        .flat_map(|slice| slice.ports.iter().flatten());
    let named = ports.any(|port| port.name.as_deref() == Some(PORT));
    let wanted = Service {
        name: service.to_owned(),
        port: named.then(|| ServicePort::Name(PORT.into())),
        grpc_port: None,
    };
    let read = endpoints::read(slices, &wanted);
    let addresses = read
        .found
        .iter()
        .filter_map(|one| one.authority.parse().ok());
    let addresses: BTreeSet<_> = addresses.collect();
    let why = read.trouble.or_else(|| {
        addresses.is_empty().then(|| {
            format!(
                "Service {service} has no endpoints: expected the admin addresses of all proxies, \
                 this one's included. The counts of other proxies are not known"
            )
        })
    });
    (addresses, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn slice(name: &str, ports: &serde_json::Value, addresses: &[&str]) -> EndpointSlice {
        let endpoint =
            |address: &&str| json!({ "addresses": [address], "conditions": { "ready": false } });
        serde_json::from_value(json!({
            "addressType": "IPv4", "metadata": { "name": name }, "ports": ports,
            "endpoints": addresses.iter().map(endpoint).collect::<Vec<_>>(),
        }))
        .unwrap()
    }

    #[test]
    fn proxies_are_listed_whether_they_are_ready_or_not() {
        let admin = json!([{ "name": "http", "port": 9000 }, { "name": "admin", "port": 9006 }]);
        let mut slices = BTreeMap::new();
        take_in(
            &mut slices,
            WatchEvent::All(vec![slice("a", &admin, &["10.0.0.1", "10.0.0.2"])]),
        );
        take_in(
            &mut slices,
            WatchEvent::Applied(Box::new(slice("b", &admin, &["10.0.0.3"]))),
        );
        let (found, why) = addresses(slices.values(), "s");
        let expected = ["10.0.0.1:9006", "10.0.0.2:9006", "10.0.0.3:9006"];
        assert_eq!(found, expected.iter().map(|a| a.parse().unwrap()).collect());
        assert_eq!(why, None);
        take_in(
            &mut slices,
            WatchEvent::Deleted(Box::new(slice("a", &admin, &[]))),
        );
        assert_eq!(addresses(slices.values(), "s").0.len(), 1);
    }

    #[test]
    fn a_service_without_endpoints_or_with_the_wrong_ports_is_trouble() {
        let none = addresses([].iter(), "s").1.unwrap();
        assert!(none.starts_with("Service s has no endpoints"), "{none}");
        let ports = json!([{ "name": "x", "port": 1 }, { "name": "y", "port": 2 }]);
        let two = addresses([slice("a", &ports, &["10.0.0.1"])].iter(), "s")
            .1
            .unwrap();
        assert!(two.contains("several ports (x 1, y 2)"), "{two}");
    }
}

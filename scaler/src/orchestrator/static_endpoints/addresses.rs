//! Looks up the addresses of host names.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use tailback_config::Endpoint;

use crate::replica::Replica;

/// Most addresses that are used of one name: the lowest ones.
const MOST: usize = 256;

/// The addresses of each host name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ResolvedAddresses(BTreeMap<String, BTreeSet<IpAddr>>);

impl ResolvedAddresses {
    /// The given addresses.
    #[cfg(test)]
    pub(super) fn known(all: &[(&str, &[&str])]) -> Self {
        let of = |ips: &[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect();
        let all = all.iter().map(|(name, ips)| ((*name).to_owned(), of(ips)));
        Self(all.collect())
    }

    /// The addresses of an endpoint's host.
    pub(super) fn of(&self, endpoint: &Endpoint) -> impl Iterator<Item = IpAddr> {
        self.0.get(&endpoint.host).into_iter().flatten().copied()
    }

    /// Whether the endpoint's host has this address.
    pub(super) fn has(&self, endpoint: &Endpoint, ip: IpAddr) -> bool {
        self.of(endpoint).any(|known| known == ip)
    }
}

/// `host:port` of an endpoint, with one address of its name, or as it is.
pub(super) fn authority(at: &Endpoint, ip: Option<IpAddr>) -> String {
    match ip {
        Some(ip) => SocketAddr::new(ip, at.port).to_string(),
        None => at.authority.clone(),
    }
}

/// Whether the endpoint's host is a name.
pub(super) fn is_name(endpoint: &Endpoint) -> bool {
    endpoint.host.parse::<IpAddr>().is_err()
}

/// Looks up the names of `endpoints`. A name that cannot be looked up, or has no address, keeps
/// its addresses in `known`.
///
/// # Errors
/// A sentence that says which name failed, and why.
pub(super) async fn look_up(
    endpoints: &[Endpoint],
    known: &mut ResolvedAddresses,
) -> Result<(), String> {
    let mut failure = Ok(());
    for endpoint in endpoints.iter().filter(|endpoint| is_name(endpoint)) {
        let host = &endpoint.host;
        let why = match tokio::net::lookup_host((host.as_str(), endpoint.port)).await {
            Ok(found) => {
                let found = of_one_family(found);
                if !found.is_empty() {
                    known.0.insert(host.clone(), found);
                    continue;
                }
                "it has no address".to_owned()
            }
            Err(error) => error.to_string(),
        };
        failure = Err(format!("the host name {host} cannot be looked up: {why}"));
    }
    failure
}

/// The IPv4 addresses or, if there are none, the IPv6 ones: a host that has both must count once.
fn of_one_family(found: impl Iterator<Item = SocketAddr>) -> BTreeSet<IpAddr> {
    let (v4, v6): (BTreeSet<_>, BTreeSet<_>) = found
        .map(|address| address.ip().to_canonical())
        .partition(IpAddr::is_ipv4);
    let all = if v4.is_empty() { v6 } else { v4 };
    all.into_iter().take(MOST).collect()
}

/// The replica at an endpoint, or at one address of its name.
pub(super) fn replica(
    server: &str,
    at: &Endpoint,
    ip: Option<IpAddr>,
    concurrency: Option<u32>,
) -> Replica {
    let grpc = at.grpc.as_deref();
    let by_name = |endpoint: &Endpoint| endpoint.authority.clone();
    let Some(ip) = ip else {
        return Replica::new(server, &at.authority, concurrency).with_grpc(grpc.map(by_name));
    };
    let address = |endpoint: &Endpoint| authority(endpoint, Some(ip));
    // A separate host for gRPC does not share this name's addresses.
    let grpc_address = |grpc: &Endpoint| match grpc.host == at.host {
        true => address(grpc),
        false => by_name(grpc),
    };
    Replica::new(server, address(at), concurrency)
        .with_grpc(grpc.map(grpc_address))
        .named(by_name(at), grpc.map(by_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::parse(text).unwrap()
    }

    #[test]
    fn a_host_with_addresses_of_both_kinds_is_taken_for_one_host() {
        let of = |all: &[&str]| -> Vec<String> {
            let found = all.iter().map(|text| text.parse().unwrap());
            let found = of_one_family(found).into_iter();
            found.map(|ip| ip.to_string()).collect()
        };
        let both = ["[::1]:80", "10.0.0.2:80", "10.0.0.1:80", "10.0.0.2:80"];
        assert_eq!(of(&both), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(of(&["[fe80::1]:80", "[::1]:80"]), ["::1", "fe80::1"]);
        assert!(of(&[]).is_empty());
    }

    #[test]
    fn a_replica_is_reached_by_its_address_and_named_by_its_name() {
        let mut at = endpoint("http://models.internal:8080");
        at.grpc = Some(Box::new(endpoint("http://models.internal:8081")));
        let found = replica("s", &at, Some("10.0.0.1".parse().unwrap()), None);
        assert_eq!(found.authority(), "10.0.0.1:8080");
        assert_eq!(found.grpc_authority(), Some("10.0.0.1:8081"));
        let names = ("models.internal:8080", Some("models.internal:8081"));
        assert_eq!(found.host_names(), names);
        at.grpc = Some(Box::new(endpoint("http://other:8081")));
        let found = replica("s", &at, Some("::1".parse().unwrap()), None);
        assert_eq!(found.authority(), "[::1]:8080");
        assert_eq!(found.grpc_authority(), Some("other:8081"));
        let found = replica("s", &endpoint("http://a"), None, None);
        assert_eq!(
            (found.authority(), found.host_names()),
            ("a:80", ("a:80", None))
        );
    }

    #[tokio::test]
    async fn what_cannot_be_looked_up_keeps_the_addresses_that_it_had() {
        let mut known = ResolvedAddresses::default();
        let local = [
            endpoint("http://localhost:1"),
            endpoint("http://127.0.0.1:2"),
        ];
        look_up(&local, &mut known).await.unwrap();
        assert!(known.has(&local[0], "127.0.0.1".parse().unwrap()));
        assert_eq!(
            known.of(&local[1]).count(),
            0,
            "an address needs no look-up"
        );
        let before = known.clone();
        let none = [
            endpoint("http://localhost:1"),
            endpoint("http://no-such-host.invalid"),
        ];
        let why = look_up(&none, &mut known).await.unwrap_err();
        assert!(why.contains("no-such-host.invalid"), "{why}");
        assert_eq!(known, before);
    }
}

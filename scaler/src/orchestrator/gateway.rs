//! Replicas at addresses that somebody else manages. An address keeps its [`Replica`], and with it
//! the count of requests in flight, from one update to the next. A gateway is an address in front
//! of all replicas of a model; it takes as many requests at once as all of them.

use std::{collections::HashMap, num::NonZeroU32, sync::Arc};

use tailback_config::Endpoint;

use crate::replica::Replica;

/// The replicas of one model, by address.
#[derive(Debug, Default)]
pub(super) struct GatewayAddresses(HashMap<Endpoint, Arc<Replica>>);

impl GatewayAddresses {
    /// One replica for each of `endpoints`, named `name`. Each takes `concurrency` requests at
    /// once; `None`: any number.
    pub(super) fn each(
        &mut self,
        name: &str,
        endpoints: &[Endpoint],
        concurrency: Option<NonZeroU32>,
    ) -> Vec<Arc<Replica>> {
        let limit = concurrency.map(NonZeroU32::get);
        self.with(name, endpoints, |_| limit)
    }

    /// Gateways at `endpoints`, named `name`, in front of `ready` replicas that take
    /// `concurrency` requests each. That capacity is divided among the endpoints; each gets at
    /// least 1. Empty while no replica is ready.
    pub(super) fn gateway(
        &mut self,
        name: &str,
        endpoints: &[Endpoint],
        concurrency: Option<NonZeroU32>,
        ready: u32,
    ) -> Vec<Arc<Replica>> {
        if ready == 0 {
            return self.with(name, &[], |_| None);
        }
        let all = concurrency.map(|each| u64::from(each.get()) * u64::from(ready));
        let count = endpoints.len().max(1) as u64;
        self.with(name, endpoints, |index| {
            let part = |all| all / count + u64::from((index as u64) < all % count);
            all.map(|all| u32::try_from(part(all).max(1)).unwrap_or(u32::MAX))
        })
    }

    fn with(
        &mut self,
        name: &str,
        endpoints: &[Endpoint],
        limit: impl Fn(usize) -> Option<u32>,
    ) -> Vec<Arc<Replica>> {
        // An address with requests in flight is kept: if it comes back, they still count.
        self.0
            .retain(|at, replica| endpoints.contains(at) || replica.in_flight() > 0);
        let replica = |(index, at): (usize, &Endpoint)| {
            let replica = self.0.entry(at.clone()).or_insert_with(|| {
                let grpc = at.grpc.as_ref().map(|grpc| grpc.authority.clone());
                Arc::new(Replica::new(name, &at.authority, None).with_grpc(grpc))
            });
            replica.set_concurrency(limit(index));
            replica.clone()
        };
        endpoints.iter().enumerate().map(replica).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(names: &[&str]) -> Vec<Endpoint> {
        let parse = |name: &&str| Endpoint::parse(&format!("http://{name}:80")).unwrap();
        names.iter().map(parse).collect()
    }

    /// Fills each replica and returns how many requests each took.
    fn room(replicas: &[Arc<Replica>]) -> Vec<usize> {
        let room = |r: &Arc<Replica>| std::iter::from_fn(|| r.try_take().then_some(())).count();
        replicas.iter().map(room).collect()
    }

    #[test]
    fn the_same_address_is_the_same_replica() {
        let mut known = GatewayAddresses::default();
        let first = known.each("m", &at(&["a", "b"]), None);
        let then = known.each("m", &at(&["b", "c"]), None);
        assert!(Arc::ptr_eq(&first[1], &then[0]));
        let back = known.each("m", &at(&["a"]), None);
        assert!(
            !Arc::ptr_eq(&first[0], &back[0]),
            "it was idle and is forgotten"
        );
    }

    #[test]
    fn one_that_goes_while_it_has_requests_and_comes_back_still_has_them() {
        let mut known = GatewayAddresses::default();
        let first = known.each("m", &at(&["a"]), None);
        assert!(first[0].try_take());
        assert!(known.each("m", &[], None).is_empty());
        let back = known.each("m", &at(&["a"]), None);
        assert_eq!(back[0].in_flight(), 1);
    }

    #[test]
    fn a_gateway_takes_what_all_replicas_behind_it_take() {
        let each = NonZeroU32::new(3);
        for (endpoints, ready, expected) in [
            (&["a"][..], 4, vec![12]),
            (&["a", "b"], 3, vec![5, 4]),
            (&["a", "b", "c", "d"], 1, vec![1, 1, 1, 1]),
            (&["a"], 0, vec![]),
        ] {
            let mut known = GatewayAddresses::default();
            let replicas = known.gateway("m", &at(endpoints), each, ready);
            assert_eq!(room(&replicas), expected);
        }
        let mut known = GatewayAddresses::default();
        let all = known.gateway("m", &at(&["a"]), NonZeroU32::new(u32::MAX), u32::MAX);
        assert!(all[0].has_room());
        let more = known.gateway("m", &at(&["a"]), each, 2);
        assert!(Arc::ptr_eq(&all[0], &more[0]));
    }
}

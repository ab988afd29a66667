//! Fixed addresses that stand for all replicas: each takes its part of what the
//! replicas behind it may take together, and none while none is ready.

use std::sync::Arc;

use tailback_config::Endpoint;

use crate::replica::Replica;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Gateway {
    replicas: Vec<Arc<Replica>>,
}

impl Gateway {
    /// One replica an address.
    pub(super) fn new(server: &str, endpoints: &[Endpoint]) -> Self {
        let replica = |at: &Endpoint| {
            let grpc = at.grpc.as_ref().map(|grpc| grpc.authority.clone());
            Arc::new(Replica::new(server, &at.authority, None).with_grpc(grpc))
        };
        Self {
            replicas: endpoints.iter().map(replica).collect(),
        }
    }

    /// Where requests may go with `ready` replicas behind it that take
    /// `concurrency` each.
    pub(super) fn open(&self, ready: u32, concurrency: Option<u32>) -> Vec<Arc<Replica>> {
        if ready == 0 {
            return Vec::new();
        }
        let addresses = u32::try_from(self.replicas.len()).unwrap_or(u32::MAX);
        let share = concurrency.map(|each| each.saturating_mul(ready).div_ceil(addresses));
        for replica in &self.replicas {
            replica.set_concurrency(share);
        }
        self.replicas.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_takes_what_its_replicas_take_together() {
        let endpoint = |text| Endpoint::parse(text).unwrap();
        let gateway = Gateway::new("s", &[endpoint("http://a"), endpoint("http://b")]);
        assert!(gateway.open(0, Some(4)).is_empty());
        let open = gateway.open(3, Some(1));
        let takes = |replica: &Replica| (0..9).take_while(|_| replica.try_take()).count();
        assert_eq!((takes(&open[0]), takes(&open[1])), (2, 2));
        let more = gateway.open(4, Some(2));
        assert!(Arc::ptr_eq(&open[0], &more[0]));
        assert_eq!(takes(&more[0]), 2, "two more on top of those it has");
        assert_eq!(takes(&gateway.open(1, None)[1]), 9);
    }
}

//! The simulated replicas' hosts, and the network to them.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::pending,
    io,
    pin::Pin,
    rc::Rc,
    sync::{Arc, Weak},
};

use tokio::time::sleep;

use super::{World, http1_replica, http2_replica, served::HOSTS, world::spawn};
use crate::net::{
    HttpVersion,
    simulated::{Link, Network, Stream, connection},
};

/// A host on which replicas run, one after the other.
pub(super) struct Host {
    pub name: &'static str,
    speaks: HttpVersion,
    /// Whether its port accepts connections.
    pub is_up: Cell<bool>,
    /// Whether it can be reached at all.
    pub is_reachable: Cell<bool>,
    links: RefCell<Vec<Weak<Link>>>,
}

impl Host {
    /// Its process crashes: all connections are reset.
    pub(super) fn crash(&self) {
        self.is_up.set(false);
        for link in self.links.take() {
            if let Some(link) = link.upgrade() {
                link.reset();
            }
        }
    }
}

/// All hosts, by their addresses.
pub(super) struct Hosts {
    world: Rc<World>,
    pub all: BTreeMap<&'static str, Rc<Host>>,
    /// All connections that were opened and still exist.
    opened: RefCell<Vec<Weak<Link>>>,
}

impl Hosts {
    pub(super) fn new(world: Rc<World>) -> Self {
        let host = |(name, speaks): &(&'static str, HttpVersion)| {
            let host = Host {
                name,
                speaks: *speaks,
                is_up: Cell::new(true),
                is_reachable: Cell::new(true),
                links: RefCell::default(),
            };
            (*name, Rc::new(host))
        };
        Self {
            world,
            all: HOSTS.iter().map(host).collect(),
            opened: RefCell::default(),
        }
    }

    /// The number of connections from the proxy to replicas.
    pub(super) fn connections(&self) -> usize {
        let opened = self.opened.borrow();
        let open = opened.iter().filter_map(Weak::upgrade);
        open.filter(|link| link.is_held_by(0)).count()
    }

    fn accept(&self, host: &Rc<Host>) -> Stream {
        let (near, far, link) = connection(self.world.plan());
        host.links.borrow_mut().push(Arc::downgrade(&link));
        self.opened.borrow_mut().push(Arc::downgrade(&link));
        let (world, speaks) = (self.world.clone(), host.speaks);
        spawn(async move {
            match speaks {
                HttpVersion::Http1 => http1_replica::serve(&world, far, &link).await,
                HttpVersion::Http2 => http2_replica::serve(&world, far, &link).await,
            }
        });
        near
    }
}

/// The hosts as a network.
pub(super) struct ToHosts(pub Rc<Hosts>);

impl Network for ToHosts {
    fn connect(&self, authority: &str) -> Pin<Box<dyn Future<Output = io::Result<Stream>>>> {
        let (hosts, host) = (self.0.clone(), self.0.all.get(authority).cloned());
        Box::pin(async move {
            sleep(hosts.world.milliseconds(0..=8)).await;
            match host {
                Some(host) if !host.is_reachable.get() => pending().await,
                Some(host) if host.is_up.get() => Ok(hosts.accept(&host)),
                _ => Err(io::ErrorKind::ConnectionRefused.into()),
            }
        })
    }
}

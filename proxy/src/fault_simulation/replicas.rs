//! The simulated replicas' hosts, and the network to them.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::pending,
    io,
    pin::Pin,
    rc::Rc,
    sync::{Arc, Weak},
    time::Duration,
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
    /// Whether its port takes connections.
    pub is_up: Cell<bool>,
    /// Whether it answers at all.
    pub is_reachable: Cell<bool>,
    links: RefCell<Vec<Weak<Link>>>,
}

impl Host {
    /// Its process ends: all connections are reset.
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
    /// All connections that were opened, for as long as anybody has them.
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

    /// How many connections the proxy has to replicas.
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

/// What a replica does with one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// It answers without having read the body.
    pub is_early: bool,
    /// It answers that it is too busy.
    pub refuses: bool,
    /// How long it works.
    pub works: Duration,
    pub answer: usize,
    /// So much of the answer is sent before its connection, or stream, is reset.
    pub breaks_off: Option<usize>,
    /// By HTTP/1.1: without a length, in chunks or up to the connection's end.
    pub framing: u64,
    /// It closes its connection behind the answer, without having said so.
    pub closes: bool,
}

impl Manner {
    pub(super) fn draw(world: &World) -> Self {
        let answer = world.size(300_000);
        let breaks_off = world.goes_wrong(0.15);
        Self {
            is_early: world.goes_wrong(0.1),
            refuses: world.goes_wrong(0.1),
            works: match world.goes_wrong(0.25) {
                true => world.milliseconds(50..=9_000),
                false => world.milliseconds(0..=40),
            },
            answer,
            breaks_off: breaks_off.then(|| world.number(0..=answer as u64) as usize),
            framing: world.number(0..=4),
            closes: world.chance(0.1),
        }
    }
}

//! A replica as the data plane sees it: its address, its requests in flight, its concurrency, and
//! whether it takes new requests.

mod address;
pub mod health;
mod host_queue;
mod id;
mod marks;
mod traffic;
pub mod usage;
pub mod weight;

use std::{fmt, sync::Arc};

pub use self::{
    address::Address,
    id::{Devices, ReplicaId},
    traffic::Traffic,
};
use self::{
    health::ReplicaHealth, host_queue::HostQueue, marks::Marks, usage::ReplicaUsage,
    weight::AtomicWeight,
};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The bit of `load` that is set while the replica takes no new requests.
const CLOSED: u32 = 1 << 31;
/// The bit of `elsewhere` that is set while another process may send the replica requests.
const OPEN: u32 = 1 << 31;
/// The largest concurrency; also what "no limit" is stored as.
const UNLIMITED: u32 = CLOSED - 1;

/// One running copy of a model's server. The data plane takes slots of it, and the orchestrator
/// closes it.
///
/// The fields are in this order so that those that each request writes share a cache line.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Replica {
    /// Requests in flight, and the [`CLOSED`] bit.
    load: AtomicU32,
    limit: AtomicU32,
    health: ReplicaHealth,
    id: ReplicaId,
    name: String,
    /// `host:port` to connect to.
    authority: String,
    /// `host:port` for gRPC, if it differs.
    grpc_authority: Option<String>,
    /// The host names of both addresses, if they were looked up by name.
    names: Option<Box<(String, Option<String>)>>,
    /// The multi-model server's replica in which this replica of a model is loaded.
    host: Option<Arc<Replica>>,
    devices: Devices,
    /// The pools that wait for a slot of this replica, if it hosts many models.
    queue: HostQueue,
    marks: Marks,
    /// Requests that another process has in flight here, and the [`OPEN`] bit.
    elsewhere: AtomicU32,
    /// Until when the data plane prefers other replicas, in ns on the process's clock.
    ejected_until: AtomicU64,
    weight: AtomicWeight,
    usage: ReplicaUsage,
}

impl Replica {
    /// A replica that takes requests at `authority` (`host:port`), at most
    /// `concurrency` at once; `None`: no limit.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        authority: impl Into<String>,
        concurrency: Option<u32>,
    ) -> Self {
        Self {
            id: ReplicaId::next(),
            name: name.into(),
            authority: authority.into(),
            grpc_authority: None,
            names: None,
            host: None,
            devices: Devices::new(),
            queue: HostQueue::new(),
            load: AtomicU32::new(0),
            limit: AtomicU32::new(limit(concurrency)),
            health: ReplicaHealth::default(),
            marks: Marks::new(),
            elsewhere: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            weight: AtomicWeight::default(),
            usage: ReplicaUsage::default(),
        }
    }

    /// Adds a separate address (`host:port`) for gRPC.
    #[must_use]
    pub fn with_grpc(mut self, authority: Option<String>) -> Self {
        self.grpc_authority = authority;
        self
    }

    /// Adds the devices that it runs on.
    #[must_use]
    pub fn on(mut self, devices: Devices) -> Self {
        self.devices = devices;
        self
    }

    /// The devices that it runs on.
    #[must_use]
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// A replica of a model within `host`, a multi-model server's replica. It has the host's name
    /// and addresses, and its requests count at the host too. It takes none while the host is
    /// closed.
    #[must_use]
    pub fn hosted(host: Arc<Self>, concurrency: Option<u32>) -> Self {
        Self {
            grpc_authority: host.grpc_authority.clone(),
            names: host.names.clone(),
            host: Some(host.clone()),
            ..Self::new(host.name.clone(), host.authority.clone(), concurrency)
        }
    }

    /// The multi-model server's replica that hosts it, if there is one.
    #[must_use]
    pub fn host(&self) -> Option<&Arc<Self>> {
        self.host.as_ref()
    }

    /// Its number. It identifies the replica even after it has gone.
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.id
    }

    /// Its name in logs and `/models`: the model's or server's name, and a number.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `host:port`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// `host:port` for gRPC, if it has one of its own.
    #[must_use]
    pub fn grpc_authority(&self) -> Option<&str> {
        self.grpc_authority.as_deref()
    }

    /// Requests in flight at this replica.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.load.load(Ordering::Acquire) & !CLOSED
    }

    /// Whether it takes no new requests.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let closed = self.load.load(Ordering::Acquire) & CLOSED != 0;
        closed || self.host.as_ref().is_some_and(|host| host.is_closed())
    }

    /// Whether a slot is free now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        has_room(self.load.load(Ordering::Relaxed), self.limit())
            && self.host.as_ref().is_none_or(|host| host.has_room())
    }

    /// Takes a slot, if one is free and the replica is not closed. Give it back
    /// with [`release`](Self::release).
    #[must_use]
    pub fn try_take(&self) -> bool {
        let load = self.load.load(Ordering::Acquire);
        self.take_from(load, self.limit(), Self::try_take)
    }

    /// As [`try_take`](Self::try_take), for a caller that has just put itself into the hold
    /// queue. Either this call sees a concurrent release, or the releasing thread sees the caller
    /// in the queue: the addition of 0 puts this attempt in one order with all releases.
    #[must_use]
    pub fn try_take_announced(&self) -> bool {
        let load = self.load.fetch_add(0, Ordering::AcqRel);
        self.take_from(load, self.limit(), Self::try_take_announced)
    }

    /// Takes a slot even if none is free, for a request that no other replica can answer and that
    /// should not wait. `false` if the replica is closed.
    #[must_use]
    pub fn take_beyond(&self) -> bool {
        let load = self.load.load(Ordering::Acquire);
        self.take_from(load, UNLIMITED, Self::take_beyond)
    }

    fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Takes a slot if the `load` is below `limit`, and a slot of its host by `of_host`.
    fn take_from(&self, mut load: u32, limit: u32, of_host: fn(&Self) -> bool) -> bool {
        while has_room(load, limit) {
            match self.load.compare_exchange_weak(
                load,
                load + 1,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return self.take_host(of_host),
                Err(now) => load = now,
            }
        }
        false
    }

    /// After a slot was taken: takes one of its host, too, or gives the slot back.
    fn take_host(&self, of_host: fn(&Self) -> bool) -> bool {
        if self.host.as_ref().is_some_and(|host| !of_host(host)) {
            self.load.fetch_sub(1, Ordering::AcqRel);
            return false;
        }
        self.health.took();
        true
    }

    /// Gives a slot back. Returns the host if pools wait for its slots: call
    /// [`offer_slots`](Self::offer_slots) on it.
    pub fn release(&self) -> Option<&Arc<Self>> {
        let host = self.host.as_ref().filter(|host| {
            host.release();
            // Read after a read-modify-write of the host's load: see `await_host`.
            host.queue.is_awaited()
        });
        let before = self.load.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before & !CLOSED > 0, "a slot was given back twice");
        host
    }

    /// Stops new requests; those in flight go on. Once [`in_flight`](Self::in_flight) is 0 after
    /// this, it stays 0 until the replica is [reopened](Self::reopen).
    pub fn close(&self) {
        self.load.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Takes new requests again, after [`close`](Self::close).
    pub fn reopen(&self) {
        self.load.fetch_and(!CLOSED, Ordering::AcqRel);
    }

    /// Sets the requests that the predecessor process has in flight here (`in_flight`), and
    /// whether it may send more (`open`). They take slots here, too. Only one thread may call
    /// this.
    pub fn set_elsewhere(&self, in_flight: u32, open: bool) {
        let now = in_flight.min(UNLIMITED) | if open { OPEN } else { 0 };
        let before = self.elsewhere.swap(now, Ordering::AcqRel) & !OPEN;
        let in_flight = now & !OPEN;
        if in_flight >= before {
            self.load.fetch_add(in_flight - before, Ordering::AcqRel);
        } else {
            self.load.fetch_sub(before - in_flight, Ordering::AcqRel);
        }
    }

    /// Requests that another process has in flight here.
    #[must_use]
    pub fn elsewhere(&self) -> u32 {
        self.elsewhere.load(Ordering::Acquire) & !OPEN
    }

    /// Whether it has requests, or another process may still send it some.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.in_flight() > 0 || self.is_open_elsewhere()
    }

    /// Whether another process may send it requests.
    #[must_use]
    pub fn is_open_elsewhere(&self) -> bool {
        self.elsewhere.load(Ordering::Acquire) & OPEN != 0
    }

    /// The resources that its processes use. No request touches this.
    #[must_use]
    pub fn usage(&self) -> &ReplicaUsage {
        &self.usage
    }

    /// Changes how many requests it takes at once; `None`: no limit.
    pub fn set_concurrency(&self, concurrency: Option<u32>) {
        self.limit.store(limit(concurrency), Ordering::Relaxed);
    }

    /// How many requests it takes at once; `None`: no limit.
    #[must_use]
    pub fn concurrency(&self) -> Option<u32> {
        Some(self.limit()).filter(|&limit| limit < UNLIMITED)
    }

    /// What is known of its health.
    #[must_use]
    pub fn health(&self) -> &ReplicaHealth {
        &self.health
    }

    /// Makes the data plane prefer other replicas until `until`.
    pub fn eject(&self, until: crate::clock::Nanos) {
        self.ejected_until.store(until.0, Ordering::Relaxed);
    }

    /// Whether other replicas are preferred at `now`, because it failed requests or asked for a
    /// pause.
    #[must_use]
    pub fn is_ejected(&self, now: crate::clock::Nanos) -> bool {
        now.0 < self.ejected_until.load(Ordering::Relaxed)
    }
}

/// A replica that is starting or draining, and so takes no new requests.
#[derive(Clone, Debug)]
pub struct Transition {
    /// The replica.
    pub replica: Arc<Replica>,
    /// Since when it has been starting or draining.
    pub since: crate::clock::Nanos,
}

impl fmt::Display for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.authority)
    }
}

fn limit(concurrency: Option<u32>) -> u32 {
    concurrency.map_or(UNLIMITED, |c| c.clamp(1, UNLIMITED))
}

/// The [`CLOSED`] bit makes the load larger than any limit.
fn has_room(load: u32, limit: u32) -> bool {
    load < limit
}

#[cfg(all(test, not(tailback_loom)))]
mod tests;

#[cfg(all(test, tailback_loom))]
mod loom_tests;

//! The scaler's state, as the admin address shows it: each model's state, the last decisions, and
//! the other proxies. The scaler writes it. No request touches it.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use serde::Serialize;

use crate::{
    clock::Nanos,
    decision::DecisionRecord,
    ledger::Reading,
    manual_count::ManualCount,
    peers::{Role, peer_counts::PeerStatus},
    replica::{Replica, Transition, health::Standing},
    server_status::PlacementStatus,
};

/// The labels under which a decision is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DecisionKind {
    /// `up` or `down`.
    pub direction: &'static str,
    /// The kind of the policy's reason: see [`Reason::kind`](crate::decision::Reason::kind).
    pub reason: &'static str,
    /// The kind of the constraint that limited the change, or `no`.
    pub held_back: &'static str,
}

/// How many decisions are kept.
const KEPT: usize = 256;

/// A model's state at the last evaluation.
#[derive(Clone, Debug, Default)]
pub struct ModelStatus {
    /// A number that grows with each update.
    pub version: u64,
    /// The desired count of replicas.
    pub desired: u32,
    /// The count that was decided. With `dryRun` or while paused, it may differ from `desired`.
    pub wanted: u32,
    /// Replicas, or gateways, that take requests.
    pub ready: Vec<Arc<Replica>>,
    /// How many replicas `ready` stands for: a gateway may stand for several.
    pub ready_count: u32,
    /// How many replicas are starting.
    pub starting: u32,
    /// How many replicas are draining.
    pub draining: u32,
    /// The starting replicas, where the orchestrator can tell them apart.
    pub coming: Vec<Transition>,
    /// The draining replicas, where the orchestrator can tell them apart.
    pub leaving: Vec<Transition>,
    /// How many seconds the last start took.
    pub start_up_seconds: Option<f64>,
    /// Mean time in service of recent requests, in seconds; `None`: there were none.
    pub service_seconds: Option<f64>,
    /// Why a replica failed last, or that starts hang. `None` once a replica has become ready
    /// since.
    pub failure: Option<String>,
    /// A condition that may lead to failures later.
    pub warning: Option<String>,
    /// The last result of a readiness probe, while a replica is not ready.
    pub not_ready: Option<String>,
    /// The model's placement, if it is on a multi-model server.
    pub placement: Option<PlacementStatus>,
    /// Whether scaling is paused.
    pub pause: PauseState,
    /// The count that an operator has set.
    pub manual: Option<ManualCount>,
    /// The reasons of the last evaluation, as a sentence.
    pub reason: String,
    /// The counts of the other proxies.
    pub others: Reading,
}

/// Whether a model is scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PauseState {
    /// Decisions are carried out.
    #[default]
    Active,
    /// Decisions are made and shown, but not carried out.
    Paused,
}

/// The group of proxies that this one belongs to.
#[derive(Clone, Debug, Default)]
pub struct MembershipStatus {
    /// This proxy's instance name, new at each start.
    pub instance: String,
    /// Whether this proxy leads.
    pub role: Role,
    /// The name of the leading proxy, from the Lease.
    pub leader: Option<String>,
    /// The other proxies.
    pub peers: Vec<PeerStatus>,
    /// Proxies in the EndpointSlices that cannot be reached, so that their counts are not known.
    pub unreachable: Vec<SocketAddr>,
    /// What prevents this proxy from finding the others, or from being elected.
    pub trouble: Vec<String>,
}

#[derive(Debug, Default)]
struct Content {
    models: BTreeMap<String, ModelStatus>,
    decisions: VecDeque<DecisionRecord>,
    /// How many decisions were recorded so far, including those no longer kept.
    recorded: u64,
    /// By model, since it was configured.
    decision_counts: BTreeMap<String, BTreeMap<DecisionKind, u64>>,
    membership: Option<MembershipStatus>,
}

/// The store that the scaler writes and the admin address reads. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct StatusStore(Arc<Mutex<Content>>);

/// A replica, as the admin address lists it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaView {
    /// Its name.
    pub name: String,
    /// `host:port`.
    pub endpoint: String,
    /// Requests in flight at this replica.
    pub in_flight: u32,
    /// Its [`Standing`]: whether it gets requests, or why not.
    pub health: &'static str,
    /// How many seconds it has had this standing.
    pub health_seconds: f64,
    /// Its weight in load balancing, in percent; below 100 in slow start.
    pub weight_percent: u32,
    /// Requests that were sent to it.
    pub requests: u64,
    /// Requests that it failed.
    pub failures: u64,
    /// How often it was ejected.
    pub ejections: u64,
    /// The last failure, as a sentence; `None`: there was none.
    pub last_failure: Option<String>,
    /// How many seconds ago that was.
    pub last_failure_seconds: Option<f64>,
    /// The result of the last health check, `ok` if it succeeded; `None`: there was none.
    pub last_probe: Option<String>,
    /// How many seconds it took to become ready, if that was measured.
    pub start_up_seconds: Option<f64>,
    /// Its use of resources, if it runs on this host.
    #[serde(flatten)]
    pub usage: Option<UsageView>,
}

/// The resources that a replica uses, as the admin address lists them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageView {
    /// CPU time since it started.
    pub cpu_seconds: f64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// The number of processes.
    pub processes: u32,
}

impl UsageView {
    /// The usage of `replica`; `None`: not known.
    #[must_use]
    pub fn of(replica: &Replica) -> Option<Self> {
        replica.usage().last().map(|usage| Self {
            cpu_seconds: usage.cpu.as_secs_f64(),
            memory_bytes: usage.memory,
            processes: usage.processes,
        })
    }
}

impl ModelStatus {
    /// The ready replicas, as the admin address lists them.
    #[must_use]
    pub fn replicas(&self) -> Vec<ReplicaView> {
        let now = Nanos::now();
        self.ready.iter().map(|r| ReplicaView::of(r, now)).collect()
    }

    /// How many of the ready replicas get no requests because of their health.
    #[must_use]
    pub fn unhealthy(&self) -> usize {
        let is_out = |r: &&Arc<Replica>| r.health().standing().0 != Standing::Healthy;
        self.ready.iter().filter(is_out).count()
    }
}

impl ReplicaView {
    fn of(replica: &Replica, now: Nanos) -> Self {
        let health = replica.health();
        let (standing, since) = health.standing();
        let (counts, last) = (health.counts(), health.last_failure(now));
        Self {
            name: replica.name().to_owned(),
            endpoint: replica.authority().to_owned(),
            in_flight: replica.in_flight(),
            health: standing.as_str(),
            health_seconds: now.since(since).as_secs_f64(),
            weight_percent: replica.weight().percent(),
            requests: counts.taken,
            failures: counts.failures,
            ejections: health.ejections(),
            last_failure: last.map(|(failure, _)| format!("it {failure}")),
            last_failure_seconds: last.map(|(_, ago)| ago.as_secs_f64()),
            last_probe: health
                .last_probe()
                .map(|result| result.err().unwrap_or_else(|| "ok".to_owned())),
            start_up_seconds: health.start_up().map(|took| took.as_secs_f64()),
            usage: UsageView::of(replica),
        }
    }
}

impl StatusStore {
    fn content(&self) -> MutexGuard<'_, Content> {
        // Plain data: consistent even if a writer panicked.
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The state of `model`; `None`: the scaler does not know it.
    #[must_use]
    pub fn status(&self, model: &str) -> Option<ModelStatus> {
        self.content().models.get(model).cloned()
    }

    /// Reads part of the state of `model` without a copy of all; `None`: the scaler does not know
    /// it.
    pub fn read<T>(&self, model: &str, part: impl FnOnce(&ModelStatus) -> T) -> Option<T> {
        self.content().models.get(model).map(part)
    }

    /// The last decisions, newest first.
    #[must_use]
    pub fn decisions(&self) -> Vec<DecisionRecord> {
        self.content().decisions.iter().rev().cloned().collect()
    }

    /// The kept decisions after the first `seen` ones, oldest first, and how many decisions there
    /// were in all.
    #[must_use]
    pub fn decisions_since(&self, seen: u64) -> (Vec<DecisionRecord>, u64) {
        let content = self.content();
        let new = content.recorded.saturating_sub(seen) as usize;
        let skip = content.decisions.len().saturating_sub(new);
        let new = content.decisions.iter().skip(skip).cloned();
        (new.collect(), content.recorded)
    }

    /// The group of proxies; `None`: this proxy is alone.
    #[must_use]
    pub fn membership(&self) -> Option<MembershipStatus> {
        self.content().membership.clone()
    }

    pub(crate) fn set_membership(&self, membership: MembershipStatus) {
        self.content().membership = Some(membership);
    }

    pub(crate) fn update(&self, model: &str, change: impl FnOnce(&mut ModelStatus)) {
        let content = &mut *self.content();
        let status = content.models.entry(model.to_owned()).or_default();
        change(status);
        status.version += 1;
    }

    pub(crate) fn remove(&self, model: &str) {
        let content = &mut *self.content();
        content.models.remove(model);
        content.decision_counts.remove(model);
    }

    /// How many decisions of each kind each model has had since it was configured.
    #[must_use]
    pub fn decision_counts(&self) -> Vec<(String, DecisionKind, u64)> {
        let content = self.content();
        let of_model = |(model, counts): (&String, &BTreeMap<DecisionKind, u64>)| {
            let row = |(kind, count): (&DecisionKind, &u64)| (model.clone(), *kind, *count);
            counts.iter().map(row).collect::<Vec<_>>()
        };
        content.decision_counts.iter().flat_map(of_model).collect()
    }

    pub(crate) fn count_decision(&self, model: &str, kind: DecisionKind) {
        let content = &mut *self.content();
        // A decision whose model has been removed meanwhile is not counted.
        if content.models.contains_key(model) {
            let counts = content.decision_counts.entry(model.to_owned());
            *counts.or_default().entry(kind).or_default() += 1;
        }
    }

    pub(crate) fn record(&self, record: DecisionRecord) {
        let content = &mut *self.content();
        if content.decisions.len() == KEPT {
            content.decisions.pop_front();
        }
        content.decisions.push_back(record);
        content.recorded += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::ScaleOutcome;

    #[test]
    fn decisions_are_told_once_each_as_far_as_they_are_kept() {
        let store = StatusStore::default();
        let record = |to| DecisionRecord {
            time: 0.0,
            model: "m".into(),
            from: 0,
            to,
            lag: 0,
            held: 0,
            reasons: Vec::new(),
            outcome: ScaleOutcome::Accepted,
            trace: None,
        };
        let counts = |new: &[DecisionRecord]| new.iter().map(|r| r.to).collect::<Vec<_>>();
        store.record(record(1));
        let (new, seen) = store.decisions_since(0);
        assert_eq!((counts(&new), seen), (vec![1], 1));
        store.record(record(2));
        store.record(record(3));
        let (new, seen) = store.decisions_since(seen);
        assert_eq!((counts(&new), seen), (vec![2, 3], 3));
        assert_eq!(store.decisions_since(seen).0.len(), 0);
        for to in 0..300 {
            store.record(record(to));
        }
        let (new, seen) = store.decisions_since(seen);
        assert_eq!((new.len(), seen), (KEPT, 303));
        assert_eq!(new.last().map(|r| r.to), Some(299));
    }
}

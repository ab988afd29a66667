//! What the admin endpoints show of the scaler: each model's state, the last decisions
//! and the other proxies. The scaler writes it; no request's way leads here.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use serde::Serialize;

use crate::{
    decision::DecisionRecord,
    ledger::Reading,
    peers::{Role, peer_counts::PeerStatus},
    replica::{Draining, Replica},
};

/// What a decision is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DecisionKind {
    /// `up` or `down`.
    pub direction: &'static str,
    /// What wanted the change: see [`Reason::kind`](crate::decision::Reason::kind).
    pub reason: &'static str,
    /// Which rule let it go only part of the way; else `no`.
    pub held_back: &'static str,
}

/// How many decisions are kept.
const KEPT: usize = 256;

/// A model's state at the last evaluation.
#[derive(Clone, Debug, Default)]
pub struct ModelStatus {
    /// Replicas asked for.
    pub desired: u32,
    /// Replicas the policy wants: other than those asked for with `dryRun`.
    pub wanted: u32,
    /// Those that take traffic.
    pub ready: Vec<Arc<Replica>>,
    /// How many replicas those are: more than addresses behind a gateway.
    pub ready_count: u32,
    /// On their way.
    pub starting: u32,
    /// Finishing what they have.
    pub draining: u32,
    /// Those of them that are told apart.
    pub leaving: Vec<Draining>,
    /// Seconds the last start took.
    pub start_up_seconds: Option<f64>,
    /// Mean seconds in service of what was served lately, if anything was.
    pub service_seconds: Option<f64>,
    /// Why a replica failed last, or that starts hang, until one is ready after it.
    pub failure: Option<String>,
    /// What the last probe of a replica that is not ready yet got.
    pub not_ready: Option<String>,
    /// Whether it is scaled.
    pub pause: PauseState,
    /// Why the count is what it is, as of the last evaluation.
    pub reason: String,
    /// What other proxies count.
    pub others: Reading,
}

/// Whether a model is scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PauseState {
    /// It is scaled, as it is configured.
    #[default]
    Active,
    /// Decisions are made and shown, but not carried out.
    Paused,
}

/// The proxies that act as one with this one.
#[derive(Clone, Debug, Default)]
pub struct MembershipStatus {
    /// The name of this start of this proxy.
    pub instance: String,
    /// What it does about replicas.
    pub role: Role,
    /// The proxy that leads, by what the Lease says.
    pub leader: Option<String>,
    /// The others.
    pub peers: Vec<PeerStatus>,
    /// Proxies that are listed and cannot be reached: their counts are not known.
    pub unreachable: Vec<SocketAddr>,
    /// What keeps it from reaching the others, or from being elected.
    pub trouble: Vec<String>,
}

#[derive(Debug, Default)]
struct Content {
    models: BTreeMap<String, ModelStatus>,
    decisions: VecDeque<DecisionRecord>,
    /// How many decisions there were, those that are no longer kept included.
    recorded: u64,
    /// Since each model was configured.
    decision_counts: BTreeMap<String, BTreeMap<DecisionKind, u64>>,
    membership: Option<MembershipStatus>,
}

/// Where the scaler writes its state and the admin endpoints read it. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct StatusStore(Arc<Mutex<Content>>);

/// A replica, as it is listed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaView {
    /// Its name.
    pub name: String,
    /// `host:port`.
    pub endpoint: String,
    /// Requests it has now.
    pub in_flight: u32,
}

impl ModelStatus {
    /// The ready replicas, to be listed.
    #[must_use]
    pub fn replicas(&self) -> Vec<ReplicaView> {
        let view = |r: &Arc<Replica>| ReplicaView {
            name: r.name().to_owned(),
            endpoint: r.authority().to_owned(),
            in_flight: r.in_flight(),
        };
        self.ready.iter().map(view).collect()
    }
}

impl StatusStore {
    fn content(&self) -> MutexGuard<'_, Content> {
        // Plain data: whole even if a writer panicked.
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The model's state, if the scaler knows it.
    #[must_use]
    pub fn status(&self, model: &str) -> Option<ModelStatus> {
        self.content().models.get(model).cloned()
    }

    /// Something of the model's state, read in place, if the scaler knows it.
    pub fn read<T>(&self, model: &str, part: impl FnOnce(&ModelStatus) -> T) -> Option<T> {
        self.content().models.get(model).map(part)
    }

    /// The last decisions, newest first.
    #[must_use]
    pub fn decisions(&self) -> Vec<DecisionRecord> {
        self.content().decisions.iter().rev().cloned().collect()
    }

    /// The decisions since the first `seen` ones, oldest first, as far as they are kept, and
    /// how many there were in all.
    #[must_use]
    pub fn decisions_since(&self, seen: u64) -> (Vec<DecisionRecord>, u64) {
        let content = self.content();
        let new = content.recorded.saturating_sub(seen) as usize;
        let skip = content.decisions.len().saturating_sub(new);
        let new = content.decisions.iter().skip(skip).cloned();
        (new.collect(), content.recorded)
    }

    /// The membership that act as one with this one; `None`: it is alone.
    #[must_use]
    pub fn membership(&self) -> Option<MembershipStatus> {
        self.content().membership.clone()
    }

    pub(crate) fn set_membership(&self, membership: MembershipStatus) {
        self.content().membership = Some(membership);
    }

    pub(crate) fn update(&self, model: &str, change: impl FnOnce(&mut ModelStatus)) {
        change(self.content().models.entry(model.to_owned()).or_default());
    }

    pub(crate) fn remove(&self, model: &str) {
        let content = &mut *self.content();
        content.models.remove(model);
        content.decision_counts.remove(model);
    }

    /// How many decisions there were of each model, by kind, since it was configured.
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
        // One that was on its way when its model was removed counts no more.
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

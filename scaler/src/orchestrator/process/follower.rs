//! The replicas after this proxy has handed them over to a successor. Its last requests still go
//! to them; the successor reports which replicas there are.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    orchestrator::{Events, ReplicaSet},
    replica::Replica,
};

/// A model's replicas, as the successor reports them after each change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SuccessorSet {
    /// The model's name.
    pub model: String,
    /// The replicas that take requests.
    pub ready: Vec<SuccessorReplica>,
    /// The names of replicas whose requests are to be aborted.
    #[serde(default)]
    pub cut: Vec<String>,
}

/// A replica that takes requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SuccessorReplica {
    /// Its name.
    pub name: String,
    /// `host:port`.
    pub authority: String,
    /// `host:port` for gRPC, if it differs.
    pub grpc: Option<String>,
    /// Most requests at once; `None`: no limit.
    pub concurrency: Option<u32>,
}

/// How this predecessor still uses a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaLoad {
    /// Requests in flight.
    pub in_flight: u32,
    /// Whether more requests may follow.
    pub open: bool,
}

/// The replicas as the successor last reported them.
#[derive(Debug)]
pub(super) struct SuccessorFollower {
    events: Events,
    /// By model and name.
    replicas: HashMap<String, BTreeMap<String, Arc<Replica>>>,
}

// === impl SuccessorSet ===

impl SuccessorSet {
    /// The part of `set` that the predecessor needs.
    #[must_use]
    pub fn new(set: &ReplicaSet) -> Self {
        let ready = set.ready.iter().map(|replica| SuccessorReplica {
            name: replica.name().to_owned(),
            authority: replica.authority().to_owned(),
            grpc: replica.grpc_authority().map(str::to_owned),
            concurrency: replica.concurrency(),
        });
        let cut = set.leaving.iter().filter(|l| l.replica.is_cut());
        Self {
            model: set.model.clone(),
            ready: ready.collect(),
            cut: cut.map(|l| l.replica.name().to_owned()).collect(),
        }
    }
}

// === impl SuccessorFollower ===

impl SuccessorFollower {
    /// Starts with these replicas, by model and name.
    pub(super) fn new(
        events: Events,
        replicas: HashMap<String, BTreeMap<String, Arc<Replica>>>,
    ) -> Self {
        Self { events, replicas }
    }

    /// Applies a report: opens, closes and cuts replicas, and passes the set on to the scaler.
    pub(super) fn apply(&mut self, latest: SuccessorSet) {
        let known = self.replicas.entry(latest.model.clone()).or_default();
        let mut ready = Vec::new();
        for one in latest.ready {
            let replica = known.entry(one.name).or_insert_with_key(|name| {
                let replica = Replica::new(name, one.authority, one.concurrency);
                Arc::new(replica.with_grpc(one.grpc))
            });
            replica.set_concurrency(one.concurrency);
            replica.reopen();
            ready.push(replica.clone());
        }
        known.retain(|name, replica| {
            let stays = ready.iter().any(|ready| Arc::ptr_eq(ready, replica));
            if !stays {
                replica.close();
            }
            if latest.cut.contains(name) {
                replica.cut();
            }
            stays || replica.in_flight() > 0
        });
        let set = ReplicaSet {
            model: latest.model,
            ready,
            capacity: u32::MAX,
            ..ReplicaSet::default()
        };
        // The scaler may have stopped listening: it shuts down.
        let _ = self.events.send(set);
    }

    /// The load of each replica now.
    pub(super) fn loads(&self) -> BTreeMap<String, ReplicaLoad> {
        let all = self.replicas.values().flatten();
        all.map(|(name, replica)| {
            let load = ReplicaLoad {
                in_flight: replica.in_flight(),
                open: !replica.is_closed() || replica.is_open_elsewhere(),
            };
            (name.clone(), load)
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn set_of(names: &[&str]) -> SuccessorSet {
        let one = |name: &&str| SuccessorReplica {
            name: (*name).to_owned(),
            authority: "127.0.0.1:1".into(),
            grpc: None,
            concurrency: Some(2),
        };
        SuccessorSet {
            model: "m".into(),
            ready: names.iter().map(one).collect(),
            cut: Vec::new(),
        }
    }

    #[test]
    fn replicas_keep_their_requests_while_they_come_and_go() {
        let (events, mut sets) = mpsc::unbounded_channel();
        let mut follower = SuccessorFollower::new(events, HashMap::new());
        follower.apply(set_of(&["m-0", "m-1"]));
        let ready = sets.try_recv().unwrap().ready;
        assert_eq!(ready.len(), 2);
        assert!(ready[0].try_take() && ready[0].try_take() && !ready[0].try_take());
        follower.apply(set_of(&["m-1"]));
        assert!(ready[0].is_closed());
        let loads = follower.loads();
        let load = |in_flight, open| ReplicaLoad { in_flight, open };
        assert_eq!(loads["m-0"], load(2, false));
        assert_eq!(loads["m-1"], load(0, true));
        follower.apply(set_of(&["m-0", "m-1"]));
        let again = sets.iter_last().ready;
        assert!(Arc::ptr_eq(&again[0], &ready[0]) && !ready[0].is_closed());
        ready[0].release();
        ready[0].release();
        follower.apply(set_of(&[]));
        assert!(follower.loads().is_empty());
    }

    trait Last {
        fn iter_last(&mut self) -> ReplicaSet;
    }

    impl Last for mpsc::UnboundedReceiver<ReplicaSet> {
        fn iter_last(&mut self) -> ReplicaSet {
            let mut last = None;
            while let Ok(set) = self.try_recv() {
                last = Some(set);
            }
            last.unwrap()
        }
    }
}

//! Models on multi-model servers, as the reconciler knows them.

use std::{sync::Arc, time::Duration};

use tailback_config::Model;

use crate::{
    clock::Nanos,
    orchestrator::{Demand, ReplicaSet},
    placement::{FailedLoads, LoadTries, ModelNeed, Plan, Unplaced},
    replica::Replica,
    server_status::{PlacementState, PlacementStatus},
};

/// A model, its wanted count and its state.
pub(in crate::orchestrator) struct HostedModel {
    pub model: Arc<Model>,
    /// How many replicas its policy wants.
    pub wanted: u32,
    /// Whether `wanted` was set yet. Until then, present replicas stay.
    pub asked: bool,
    pub demand: Demand,
    /// Since when requests have been waiting without a pause, and without a replica that serves any.
    pub held_since: Option<Nanos>,
    /// Whether placement has promised it room.
    pub admitted: bool,
    /// How long its last load took.
    pub load_time: Option<Duration>,
    pub failed_loads: FailedLoads,
    /// Why its last load failed.
    pub failure: Option<String>,
    /// Why it has fewer replicas than it wants, if it has.
    pub unplaced: Option<Unplaced>,
    /// How many replicas it could have, if that is known.
    pub possible: Option<u32>,
    /// Whether a replica of it took requests at the last check.
    pub serves: bool,
    /// Since when no replica of it takes requests, if one did before.
    pub out_since: Option<Nanos>,
    /// Whether its configuration has changed since its replicas were last told.
    pub reconfigured: bool,
}

impl HostedModel {
    pub(in crate::orchestrator) fn new(model: Arc<Model>) -> Self {
        Self {
            model,
            wanted: 0,
            asked: false,
            demand: Demand::default(),
            held_since: None,
            admitted: false,
            load_time: None,
            failed_loads: FailedLoads::default(),
            failure: None,
            unplaced: None,
            possible: None,
            serves: false,
            out_since: None,
            reconfigured: true,
        }
    }

    /// Takes a new configuration. A load that failed before is tried again at once.
    pub(in crate::orchestrator) fn configure(&mut self, model: Arc<Model>) {
        if self.model != model {
            self.forgive();
            self.failure = None;
        }
        self.reconfigured = true;
        self.model = model;
    }

    /// Takes how many replicas are wanted. Returns whether that has changed.
    pub(in crate::orchestrator) fn want(&mut self, replicas: u32) -> bool {
        let is_new = self.wanted != replicas || !self.asked;
        (self.wanted, self.asked) = (replicas, true);
        is_new
    }

    /// Takes what a plan says of the model.
    pub(in crate::orchestrator) fn planned(&mut self, plan: &Plan) {
        let name = &*self.model.name;
        self.unplaced = plan.unplaced.get(name).cloned();
        self.possible = plan.capacity.get(name).copied().or(self.possible);
    }

    /// The most replicas that may be asked for. The minimum may always be asked for: it gets room
    /// in its turn.
    pub(in crate::orchestrator) fn capacity(&self) -> u32 {
        let least = self.model.replicas.min.max(1);
        self.possible.unwrap_or(u32::MAX).max(least)
    }

    /// Whether requests wait for the model and no room was found for it. Room may come free when a
    /// request of another model ends, of which nothing notifies the reconciler.
    pub(in crate::orchestrator) fn waits_for_room(&self) -> bool {
        self.demand.held > 0 && self.unplaced.is_some()
    }

    /// The model's name at its servers.
    pub(in crate::orchestrator) fn name_at_server(&self) -> &str {
        let own = &self.model.upstream_name;
        own.as_deref().unwrap_or(&self.model.name)
    }

    /// Takes the data plane's counts. Returns whether they may change the plan.
    pub(in crate::orchestrator) fn set_demand(&mut self, demand: Demand, now: Nanos) -> bool {
        let before = std::mem::replace(&mut self.demand, demand);
        self.held_since = match demand.held {
            0 => None,
            _ => self.held_since.or(Some(now)),
        };
        // The number of waiting requests decides which model is next in turn.
        before.held != demand.held
    }

    /// Notes whether any replica of it takes requests.
    pub(in crate::orchestrator) fn set_serves(&mut self, serves: bool, now: Nanos) {
        if self.serves && !serves && self.held_since.is_some() {
            // The requests that have been waiting until now are served from here on. The oldest
            // waiting request is younger than `held_since` says.
            self.held_since = Some(now);
        }
        self.out_since = match (self.serves, serves) {
            (_, true) => None,
            (true, false) => Some(now),
            (false, false) => self.out_since,
        };
        self.serves = serves;
    }

    pub(in crate::orchestrator) fn loaded(&mut self, took: Duration) {
        self.load_time = Some(took);
        self.forgive();
        self.failure = None;
    }

    /// Forgets failed loads: the next load may be tried at once.
    pub(in crate::orchestrator) fn forgive(&mut self) {
        self.failed_loads = FailedLoads::default();
    }

    /// Notes that a load that was sent at `sent` has failed, and why. Returns the pause until the
    /// next try.
    pub(in crate::orchestrator) fn load_failed(
        &mut self,
        why: String,
        tries: LoadTries,
        sent: Nanos,
        now: Nanos,
    ) -> Duration {
        self.failure = Some(why);
        self.failed_loads.failed(tries, sent, now)
    }

    /// Its state, with so many replicas ready and starting.
    pub(in crate::orchestrator) fn state(&self, ready: u32, starting: u32) -> PlacementState {
        match (ready, self.wanted) {
            (0, 0) => PlacementState::Evicted,
            (0, _) if starting > 0 && self.failure.is_none() => PlacementState::Loading,
            (0, _) if self.failure.is_some() => PlacementState::Failed,
            (0, _) if self.load_time.is_some() && self.demand.held == 0 => PlacementState::Evicted,
            (0, _) => PlacementState::Waiting,
            (ready, wanted) if ready < wanted => PlacementState::Partial,
            _ => PlacementState::Available,
        }
    }

    /// Its needs for placement, with `have` replicas; `pool` is its server's.
    pub(in crate::orchestrator) fn need(&self, pool: usize, have: usize) -> ModelNeed {
        let have = u32::try_from(have).unwrap_or(u32::MAX);
        let wanted = if self.asked { self.wanted } else { have };
        let replicas = &self.model.replicas;
        ModelNeed {
            name: self.model.name.as_str().into(),
            pools: vec![pool],
            memory: self.model.memory.unwrap_or(0),
            bins: 1,
            wanted,
            min: replicas.min.min(wanted),
            max: if replicas.scaled {
                replicas.max
            } else {
                wanted
            },
            pinned: self.model.scaling.pin.value,
            admitted: self.admitted,
            held: self.demand.held,
            held_since: self.held_since,
            hold: self.model.hold.deadline.value,
            last_used: self.demand.last_used,
            out_since: self.out_since,
            load_time: self.load_time,
            not_before: self.failed_loads.not_before,
        }
    }
}

/// The last report on a model.
#[derive(PartialEq)]
pub(in crate::orchestrator) struct Shown {
    ready: Vec<usize>,
    draining: Vec<usize>,
    starting: u32,
    capacity: u32,
    failure: Option<String>,
    concurrency: Option<u32>,
    /// The limit of the server's replicas over all their models.
    shared_concurrency: Option<u32>,
    failures: u32,
    placement: PlacementStatus,
}

impl Shown {
    pub(in crate::orchestrator) fn of(set: &ReplicaSet, own: &HostedModel) -> Self {
        let id = |replica: &Arc<Replica>| Arc::as_ptr(replica) as usize;
        Self {
            ready: set.ready.iter().map(id).collect(),
            draining: set.leaving.iter().map(|own| id(&own.replica)).collect(),
            starting: set.starting,
            capacity: set.capacity,
            failure: set.failure.clone(),
            concurrency: own.model.concurrency.value.map(std::num::NonZeroU32::get),
            shared_concurrency: set
                .ready
                .first()
                .and_then(|replica| replica.host()?.concurrency()),
            failures: own.failed_loads.number,
            placement: set.placement.clone().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tailback_config::{Env, load_text};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn model() -> HostedModel {
        let text = "{ apiVersion: tailback.dev/v1alpha1, kind: Server, metadata: { name: s }, spec: { memory: 2Gi, \
             multiModel: {}, process: { command: [x, '{port}'] } } }\n---\n\
             { apiVersion: tailback.dev/v1alpha1, kind: Model, metadata: { name: m }, spec: { server: s, memory: 1Gi } }\n";
        let config = load_text(Path::new("a.yaml"), text, &Env::default()).unwrap();
        HostedModel::new(config.models["m"].clone())
    }

    #[test]
    fn each_state_says_where_the_model_is() {
        let mut own = model();
        own.want(2);
        assert_eq!(own.state(0, 0), PlacementState::Waiting);
        assert_eq!(own.state(0, 1), PlacementState::Loading);
        assert_eq!(own.state(1, 1), PlacementState::Partial);
        assert_eq!(own.state(2, 0), PlacementState::Available);
        own.loaded(SECOND);
        assert_eq!(own.state(0, 0), PlacementState::Evicted);
        own.failure = Some("x".into());
        assert_eq!(own.state(0, 0), PlacementState::Failed);
        assert_eq!(own.state(1, 0), PlacementState::Partial);
        own.want(0);
        assert_eq!(own.state(0, 0), PlacementState::Evicted);
    }

    #[test]
    fn a_model_that_gives_way_waits_from_then_on_however_long_it_was_saturated() {
        let mut own = model();
        let held = Demand {
            held: 3,
            ..Demand::default()
        };
        own.set_serves(true, Nanos(1));
        own.set_demand(held, Nanos(2));
        own.set_serves(true, Nanos(1000));
        assert_eq!(own.held_since, Some(Nanos(2)));
        own.set_serves(false, Nanos(2000));
        own.set_demand(Demand { held: 4, ..held }, Nanos(2001));
        assert_eq!(own.held_since, Some(Nanos(2000)));
        own.set_demand(Demand::default(), Nanos(3000));
        assert_eq!(own.held_since, None);
    }
}

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

/// A model, what is wanted of it, and what became of it.
pub(in crate::orchestrator) struct HostedModel {
    pub model: Arc<Model>,
    /// How many replicas it is to have.
    pub wanted: u32,
    /// Whether that was said yet; until then, what there is stays.
    pub asked: bool,
    pub demand: Demand,
    /// Since when requests have been waiting without a pause, and without a replica that serves any.
    pub held_since: Option<Nanos>,
    /// Whether it was promised room.
    pub admitted: bool,
    /// How long its last load took.
    pub load_time: Option<Duration>,
    pub failed_loads: FailedLoads,
    /// Why the last one failed.
    pub failure: Option<String>,
    /// Why it has fewer replicas than it wants, if it has.
    pub unplaced: Option<Unplaced>,
    /// How many replicas it could have, if that is known.
    pub possible: Option<u32>,
    /// Whether a replica of it took requests when this was looked at last.
    pub serves: bool,
    /// Since when none does, if one did before.
    pub out_since: Option<Nanos>,
    /// Whether its configuration is new to what runs it.
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

    /// Takes how many replicas it is to have. Returns whether that is new.
    pub(in crate::orchestrator) fn want(&mut self, replicas: u32) -> bool {
        let is_new = self.wanted != replicas || !self.asked;
        (self.wanted, self.asked) = (replicas, true);
        is_new
    }

    /// Takes what a plan says of it.
    pub(in crate::orchestrator) fn planned(&mut self, plan: &Plan) {
        let name = &*self.model.name;
        self.unplaced = plan.unplaced.get(name).cloned();
        self.possible = plan.capacity.get(name).copied().or(self.possible);
    }

    /// The most replicas that may be asked for. What must be there is asked for in any case: it gets
    /// room in its turn.
    pub(in crate::orchestrator) fn capacity(&self) -> u32 {
        let least = self.model.replicas.min.max(1);
        self.possible.unwrap_or(u32::MAX).max(least)
    }

    /// Whether requests wait for a replica that is placed nowhere. There may be room when a request
    /// of another model ends, which nothing says.
    pub(in crate::orchestrator) fn waits_for_room(&self) -> bool {
        self.demand.held > 0 && self.unplaced.is_some()
    }

    /// The name that servers know it by.
    pub(in crate::orchestrator) fn name_at_server(&self) -> &str {
        let own = &self.model.upstream_name;
        own.as_deref().unwrap_or(&self.model.name)
    }

    /// Takes what the data plane has counted. Returns whether it may change the plan.
    pub(in crate::orchestrator) fn set_demand(&mut self, demand: Demand, now: Nanos) -> bool {
        let before = std::mem::replace(&mut self.demand, demand);
        self.held_since = match demand.held {
            0 => None,
            _ => self.held_since.or(Some(now)),
        };
        // More waiting requests matter to models that take turns.
        before.held != demand.held
    }

    /// Notes whether a replica of it takes requests.
    pub(in crate::orchestrator) fn set_serves(&mut self, serves: bool, now: Nanos) {
        if self.serves && !serves && self.held_since.is_some() {
            // Requests that waited until now were being served: the oldest that waits is younger than
            // the time since any has been waiting.
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

    /// Forgets that loads have failed: the next may be tried at once.
    pub(in crate::orchestrator) fn forgive(&mut self) {
        self.failed_loads = FailedLoads::default();
    }

    /// Notes that a load failed which was sent at `sent`, and why. Returns the pause until the next one.
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

    /// Where it is, with so many replicas that are ready and starting.
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

    /// What placement needs to know of it; `pool` is its server's. It has `have` replicas.
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

/// What was reported of a model last.
#[derive(PartialEq)]
pub(in crate::orchestrator) struct Shown {
    ready: Vec<usize>,
    draining: Vec<usize>,
    starting: u32,
    capacity: u32,
    failure: Option<String>,
    concurrency: Option<u32>,
    /// That of the server's replicas, for all their models.
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

//! Makes plans and carries them out: loads, drains and unloads. Counts of servers are in
//! [`scale`](super::scale).

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tailback_config::Kind;

use super::{
    bins::Bins, hosted::Hosted, outcome::Subject, reconciler::Reconciler, repository::CallError,
};
use crate::{
    clock::Nanos,
    placement::{self, Drain, Load, LoadTries, PlacedState, Plan, Position, Why},
    replica::ReplicaId,
    server_status::{PlacementAction, ServerCounts},
};

/// Time limit of an unload whose time is used up already: it is tried again all the same.
const SHORT: Duration = Duration::from_secs(5);
/// Pause before an unload that failed is tried again: first, and at most.
const UNLOAD_AGAIN: Duration = Duration::from_secs(1);
const UNLOAD_LONGEST: Duration = Duration::from_secs(60);

impl Reconciler {
    /// Makes a plan for the present state, and begins to carry it out.
    pub(super) fn plan(&mut self, now: Nanos) {
        self.note_serving(now);
        let bins = self.bins(now);
        let plan = placement::plan(&bins.fleet, now);
        tracing::debug!(models = bins.fleet.models.len(), "made a plan");
        self.again_at = plan.again_at.filter(|at| *at > now);
        self.carry_out(&bins, &plan, now);
        for own in self.models.values_mut() {
            own.planned(&plan);
        }
    }

    /// Notes which models take requests.
    fn note_serving(&mut self, now: Nanos) {
        let replicas = self.servers.values().flat_map(|server| &server.replicas);
        let hosted = replicas.flat_map(|replica| &replica.hosted);
        let serving: BTreeSet<&Arc<str>> = hosted
            .filter(|(_, hosted)| hosted.state == PlacedState::Loaded)
            .map(|(model, _)| model)
            .collect();
        for (name, own) in &mut self.models {
            own.set_serves(serving.contains(name), now);
        }
    }

    fn carry_out(&mut self, bins: &Bins, plan: &Plan, now: Nanos) {
        for name in &plan.admit {
            if let Some(own) = self.models.get_mut(name) {
                own.admitted = true;
            }
        }
        let leave = plan.leave.iter().map(|at| (at, true));
        let stay = plan.stay.iter().map(|at| (at, false));
        for ((pool, bin), leaving) in leave.chain(stay) {
            self.set_leaving(bins.at(*pool, *bin), leaving);
        }
        for position in &plan.resume {
            self.resume(bins, position, now);
        }
        for drain in &plan.drain {
            self.drain(bins, drain, now);
        }
        for load in &plan.load {
            self.load(bins, load, now);
        }
        for (name, count) in &plan.servers {
            self.scale_server(name, *count, now);
        }
        self.fetch_files();
        self.send_loads(now);
        self.go_on_draining(now);
        self.let_go(now);
    }

    /// Marks a server's replica as leaving, or as staying.
    fn set_leaving(&mut self, at: Option<(&Arc<str>, ReplicaId)>, leaving: bool) {
        let Some((server, id)) = at else { return };
        let server = self.servers.get_mut(server);
        let Some(replica) = server.and_then(|server| server.replica_mut(id)) else {
            return;
        };
        let (action, what, why) = match leaving {
            true => (
                PlacementAction::Leave,
                "is to go: its models are placed elsewhere",
                "the server needs fewer replicas",
            ),
            false => (
                PlacementAction::Stay,
                "is needed again: it takes models",
                "the server needs it again",
            ),
        };
        tracing::info!(replica = %replica.replica, "{what}");
        (self.status).decided(action, None, replica.replica.name(), why);
        replica.leaving = leaving;
    }

    fn hosted_mut(&mut self, server: &str, id: ReplicaId, model: &str) -> Option<&mut Hosted> {
        let server = self.servers.get_mut(server)?;
        server.replica_mut(id)?.hosted.get_mut(model)
    }

    fn load(&mut self, bins: &Bins, load: &Load, now: Nanos) {
        let Position {
            model,
            pool,
            bins: at,
        } = &load.position;
        let Some((server, id)) = at.first().and_then(|bin| bins.at(*pool, *bin)) else {
            return;
        };
        let Some(own) = self.models.get(model) else {
            return;
        };
        let config = own.model.clone();
        let Some(shared) = self.servers.get_mut(server) else {
            return;
        };
        if matches!(load.why, Why::Held { .. }) {
            shared.counts.misses += 1;
        }
        let Some(replica) = shared.replica_mut(id) else {
            return;
        };
        let host = replica.replica.clone();
        let hosted = Hosted::new(&host, &config, PlacedState::Loading, now);
        tracing::info!(model = &**model, replica = %host, "is to be loaded: {}", load.why);
        (self.status).decided(PlacementAction::Load, Some(model), host.name(), &load.why);
        replica.hosted.insert(model.clone(), hosted);
    }

    fn drain(&mut self, bins: &Bins, drain: &Drain, now: Nanos) {
        let Position {
            model,
            pool,
            bins: at,
        } = &drain.position;
        let Some((server, id)) = at.first().and_then(|bin| bins.at(*pool, *bin)) else {
            return;
        };
        let server = server.clone();
        let Some(hosted) = self.hosted_mut(&server, id, model) else {
            return;
        };
        match hosted.state {
            PlacedState::Loading if hosted.sent.is_none() => self.call_off(&server, id, model),
            // A load cannot be called back. The model is unloaded when it has been loaded.
            PlacedState::Loading => hosted.unwanted = true,
            PlacedState::Loaded => {
                hosted.replica.close();
                let evicted = matches!(drain.why, Why::Evicted { .. });
                if evicted && hosted.replica.in_flight() > 0 {
                    // A request has arrived before the replica was closed.
                    hosted.replica.reopen();
                    self.stale = true;
                    // A request that arrived while the replica was closed is held. The next report
                    // makes the scaler serve it.
                    self.shown.remove(model);
                    return;
                }
                hosted.enter(PlacedState::Draining, now);
                let in_flight = hosted.replica.in_flight();
                tracing::info!(model = &**model, replica = %hosted.replica, in_flight, "goes: {}", drain.why);
                let at = hosted.replica.name().to_owned();
                (self.status).decided(PlacementAction::Drain, Some(model), at, &drain.why);
                if matches!(drain.why, Why::Evicted { .. } | Why::Turn { .. }) {
                    self.count(&server, |counts| counts.evictions += 1);
                }
            }
            PlacedState::Draining | PlacedState::Unloading => {}
        }
    }

    /// Drops a load that has not been sent.
    fn call_off(&mut self, server: &str, id: ReplicaId, model: &str) {
        let server = self.servers.get_mut(server);
        if let Some(replica) = server.and_then(|server| server.replica_mut(id)) {
            replica.hosted.remove(model);
            // Its room is free now.
            self.stale = true;
        }
    }

    fn resume(&mut self, bins: &Bins, position: &Position, now: Nanos) {
        let at = position.bins.first();
        let Some((server, id)) = at.and_then(|bin| bins.at(position.pool, *bin)) else {
            return;
        };
        let server = server.clone();
        if let Some(hosted) = self.hosted_mut(&server, id, &position.model)
            && hosted.state == PlacedState::Draining
            && !hosted.outdated
        {
            hosted.replica.reopen();
            hosted.enter(PlacedState::Loaded, now);
            tracing::info!(model = &*position.model, replica = %hosted.replica, "is needed again: it takes requests");
            let (model, at) = (Some(&*position.model), hosted.replica.name().to_owned());
            (self.status).decided(PlacementAction::Resume, model, at, "it is needed again");
        }
    }

    /// Unloads replicas that have drained.
    pub(super) fn go_on_draining(&mut self, now: Nanos) {
        if self.retired {
            return;
        }
        let (grace, limit) = (self.placement.unload_grace, self.placement.unload_limit);
        let mut calls = Vec::new();
        for (server, own) in &mut self.servers {
            for replica in &mut own.replicas {
                // The models of a process end with it.
                if replica.is_used_elsewhere() || replica.replica.is_vacated() {
                    continue;
                }
                let (host, id) = (replica.replica.clone(), replica.replica.id());
                for (model, hosted) in &mut replica.hosted {
                    let due = match hosted.state {
                        PlacedState::Draining => {
                            hosted.replica.in_flight() == 0 && now.since(hosted.since) >= grace
                        }
                        PlacedState::Unloading => hosted.again_at.is_some_and(|at| at <= now),
                        PlacedState::Loading | PlacedState::Loaded => false,
                    };
                    if !due {
                        continue;
                    }
                    hosted.again_at = None;
                    if hosted.state == PlacedState::Draining {
                        hosted.enter(PlacedState::Unloading, now);
                    }
                    let subject = Subject {
                        server: server.clone(),
                        replica: Some(id),
                        model: Some(model.clone()),
                        attempt: Some(hosted.replica.id()),
                    };
                    // The rest of the time for this try.
                    let limit = limit.saturating_sub(now.since(hosted.since));
                    calls.push((subject, host.clone(), hosted.name_at_server.clone(), limit));
                }
            }
        }
        for (subject, host, name, limit) in calls {
            self.call_unload(subject, &host, name, limit.max(SHORT));
        }
    }

    fn count(&mut self, server: &str, change: impl FnOnce(&mut ServerCounts)) {
        if let Some(server) = self.servers.get_mut(server) {
            change(&mut server.counts);
        }
    }

    /// The replica of a model that a call was about, if it still exists.
    pub(super) fn attempt(&mut self, at: &Subject) -> Option<&mut Hosted> {
        let (id, model) = (at.replica?, at.model.as_ref()?);
        let hosted = self.hosted_mut(&at.server, id, model)?;
        (Some(hosted.replica.id()) == at.attempt).then_some(hosted)
    }

    pub(super) fn loaded(&mut self, at: &Subject, result: Result<(), CallError>, now: Nanos) {
        let Some(hosted) = self.attempt(at) else {
            return;
        };
        // Not sent: its files could not be fetched, which is no failure of the load.
        let sent = hosted.sent.unwrap_or(now);
        let (replica, took) = (hosted.replica.clone(), now.since(sent));
        let Some(model) = at.model.clone() else {
            return;
        };
        match result {
            Ok(()) => {
                let unwanted = std::mem::take(&mut hosted.unwanted);
                hosted.enter(PlacedState::Loaded, now);
                if unwanted {
                    hosted.replica.close();
                    hosted.enter(PlacedState::Draining, now);
                }
                self.count(&at.server, |counts| counts.loads += 1);
                if let Some(own) = self.models.get_mut(&model) {
                    own.loaded(took);
                }
                let seconds = took.as_secs_f64();
                tracing::info!(model = &*model, %replica, seconds, "loaded");
            }
            Err(error) => {
                match error {
                    CallError::Refused(_) => self.remove(at),
                    // The model may have been loaded all the same. Its room is free only once it
                    // is unloaded.
                    CallError::Failed(_) => {
                        hosted.replica.close();
                        hosted.enter(PlacedState::Unloading, now);
                        hosted.again_at = Some(now);
                    }
                }
                self.count(&at.server, |counts| counts.failed_loads += 1);
                let tries = LoadTries::of(&self.placement);
                let Some(own) = self.models.get_mut(&model) else {
                    return;
                };
                let why = format!("{}: {error}", replica.name());
                let pause = own.load_failed(why, tries, sent, now);
                let again_in_seconds = pause.as_secs_f64();
                tracing::warn!(model = &*model, %replica, again_in_seconds, "could not be loaded: {error}");
            }
        }
    }

    pub(super) async fn unloaded(
        &mut self,
        at: &Subject,
        result: Result<(), CallError>,
        now: Nanos,
    ) {
        let Some(hosted) = self.attempt(at) else {
            return;
        };
        let replica = hosted.replica.clone();
        let Some(model) = at.model.clone() else {
            return;
        };
        let Err(error) = result else {
            tracing::info!(model = &*model, %replica, "unloaded");
            self.count(&at.server, |counts| counts.unloads += 1);
            self.remove(at);
            // A model that cannot be unloaded may now be the only one in its replica.
            return self.recycle(at, now).await;
        };
        hosted.failures = hosted.failures.saturating_add(1);
        let pause = (UNLOAD_AGAIN * (1 << (hosted.failures - 1).min(6))).min(UNLOAD_LONGEST);
        hosted.again_at = Some(now + pause);
        let again_in_seconds = pause.as_secs_f64();
        tracing::warn!(model = &*model, %replica, again_in_seconds, "could not be unloaded, and still takes its room: {error}");
        self.count(&at.server, |counts| counts.failed_unloads += 1);
        self.recycle(at, now).await;
    }

    /// Replaces a server's replica that does not free the memory of its models, once no other
    /// model is in it. Only processes can be replaced; for others the log says that they need a
    /// restart.
    async fn recycle(&mut self, at: &Subject, now: Nanos) {
        let (tries, limit) = (self.placement.unload_retries, self.placement.unload_limit);
        let Some(server) = self.servers.get_mut(&at.server) else {
            return;
        };
        let as_model = server.as_model.clone();
        let Some(replica) = at.replica.and_then(|id| server.replica_mut(id)) else {
            return;
        };
        let is_stuck = |own: &&Hosted| {
            let tried = own.failures > tries || own.failures > 0 && now.since(own.since) >= limit;
            own.state == PlacedState::Unloading && tried
        };
        let stuck = replica.hosted.values().filter(is_stuck).count();
        let (host, others) = (replica.replica.clone(), replica.hosted.len() - stuck);
        if stuck == 0 {
            return;
        }
        if others > 0 || host.in_flight() > 0 {
            tracing::warn!(replica = %host, others, "does not unload all that it should: it is replaced when its other models have gone");
        } else if let Kind::Process(_) = as_model.server.kind {
            tracing::warn!(replica = %host, "does not unload its last models: it is replaced");
            let processes = self.orchestrators.processes.clone();
            processes.replace(&as_model.name, &host).await;
        } else {
            tracing::warn!(replica = %host, "does not unload its last models: restart it, so that their memory is free again");
        }
    }

    fn remove(&mut self, at: &Subject) {
        let server = self.servers.get_mut(&at.server);
        if let (Some(server), Some(id), Some(model)) = (server, at.replica, &at.model)
            && let Some(replica) = server.replica_mut(id)
        {
            replica.hosted.remove(model);
            replica.unloaded.insert(model.clone(), Nanos::now());
        }
    }
}

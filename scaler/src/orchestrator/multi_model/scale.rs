//! Asks the orchestrators of servers for counts, one request at a time.

use std::time::Duration;

use super::{calls::ASK_AGAIN, outcome::Subject, reconciler::Reconciler, servers::SharedServer};
use crate::{clock::Nanos, orchestrator::ScaleError, server_status::PlacementAction};

impl Reconciler {
    /// How long a server's count must be unchanged before it goes down: the longest of its models'
    /// stability times.
    pub(super) fn stability(&self, server: &SharedServer) -> Duration {
        let own = self
            .models
            .values()
            .filter(|own| own.model.server.name == server.name());
        let longest = own.map(|own| own.model.scaling.stability.value).max();
        longest.unwrap_or_default()
    }

    /// Asks for the first count of a server, once its present count is known.
    pub(super) fn begin(&mut self, name: &str, now: Nanos) {
        let Some(server) = self.servers.get_mut(name) else {
            return;
        };
        let bounds = server.bounds();
        let inherited = self.inherited.remove(name).map(|own| own.desired);
        let known = server.asked.or(inherited).or(server.set.desired);
        if server.is_followed() {
            self.asked.lock().insert(name.to_owned(), 0);
            return;
        }
        let count = known.filter(|_| bounds.scaled).unwrap_or(bounds.initial);
        self.scale_server(name, count.clamp(bounds.min, bounds.max), now);
    }

    pub(super) fn scale_server(&mut self, name: &str, count: u32, now: Nanos) {
        let Some(server) = self.servers.get_mut(name) else {
            return;
        };
        if let Some(before) = server.asked.filter(|before| *before != count) {
            tracing::info!(
                server = name,
                from = before,
                to = count,
                "its models need another count of replicas"
            );
            server.count_changes(before, count);
            let why = format!("its models need {count} replicas, and it has {before}");
            (self.status).decided(PlacementAction::Scale, None, name, why);
        }
        if server.asked != Some(count) {
            (server.asked, server.changed) = (Some(count), now);
        }
        self.asked.lock().insert(name.to_owned(), count);
        if !server.asking {
            self.call_scale(name, count);
        }
    }

    /// Tells the orchestrators of servers which replaced replicas may be stopped: those whose
    /// models are all served elsewhere, or cannot be loaded elsewhere after all tries.
    pub(super) fn let_go(&mut self, now: Nanos) {
        let (models, tries) = (&self.models, self.placement.load_retries);
        let hopeless = |model: &str| {
            let own = models.get(model);
            own.is_none_or(|own| own.failed_loads.number > tries)
        };
        let (mut told, mut out_of_room) = (Vec::new(), Vec::new());
        for (name, server) in &self.servers {
            for own in &server.replicas {
                let is_known = own.known || own.troubles > 0;
                let waits = server.is_to_go(own) && own.replica.is_vacating();
                if !waits || !is_known || own.replica.is_vacated() {
                    continue;
                }
                if !own
                    .hosted
                    .iter()
                    .any(|(model, hosted)| hosted.serves() && !hopeless(model))
                {
                    tracing::info!(replica = %own.replica, "none of its models needs it any more: it may go");
                    own.replica.mark_vacated();
                    told.push(name.clone());
                    let left = own.hosted.iter().filter(|(_, hosted)| hosted.serves());
                    out_of_room.extend(left.map(|(model, _)| model.clone()));
                }
            }
        }
        // Models that could not be loaded beside the old replica may be loaded once it is gone.
        for model in out_of_room {
            if let Some(own) = self.models.get_mut(&model) {
                own.forgive();
            }
        }
        for name in told {
            let Some(server) = self.servers.get_mut(&name) else {
                continue;
            };
            // A request that is on its way may not have the new configuration.
            server.outdated |= server.asking;
            if let Some(count) = server.asked {
                self.scale_server(&name, count, now);
            }
        }
    }

    pub(super) fn scaled(
        &mut self,
        at: &Subject,
        replicas: u32,
        result: Result<(), ScaleError>,
        now: Nanos,
    ) {
        let Some(server) = self.servers.get_mut(&at.server) else {
            return;
        };
        server.asking = false;
        let outdated = std::mem::take(&mut server.outdated);
        let newer = server.asked.filter(|asked| *asked != replicas || outdated);
        match result {
            Ok(()) => server.rejected = None,
            Err(error) => {
                let why = format!("{replicas} replicas were asked for: {error}");
                if server.rejected.as_ref() != Some(&why) {
                    tracing::warn!(server = &*at.server, "{why}");
                }
                server.rejected = Some(why);
                server.ask_again = Some(now + ASK_AGAIN);
            }
        }
        if let Some(count) = newer {
            self.call_scale(&at.server, count);
        }
    }

    /// Repeats failed requests for counts once their pause is over.
    pub(super) fn repeat_requests(&mut self, now: Nanos) {
        if self.retired {
            return;
        }
        let due: Vec<_> = self
            .servers
            .iter()
            .filter(|(_, server)| server.ask_again.is_some_and(|at| at <= now) && !server.asking)
            .filter_map(|(name, server)| Some((name.clone(), server.asked?)))
            .collect();
        for (name, count) in due {
            self.call_scale(&name, count);
        }
    }
}

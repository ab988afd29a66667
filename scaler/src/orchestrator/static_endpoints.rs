//! Replicas at fixed addresses from the manifest: always ready, never scaled, never stopped. An
//! operator may drain one, and resume it. If the server sets `resolveSeconds`, its host names are
//! looked up periodically, and each of their addresses is a replica.

mod addresses;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use tailback_config::{Endpoint, Kind, Model};
use tokio::task::AbortHandle;

use self::addresses::{ResolvedAddresses, look_up};
use super::{Events, Orchestrator, ReplicaSet, ScaleError};
use crate::{
    clock::Nanos,
    replica::{Replica, Transition},
};

/// The longest time to the next look-up after a failed one.
const AGAIN: Duration = Duration::from_secs(5);

/// The orchestrator of models on `static` servers.
#[derive(Debug)]
pub struct StaticEndpoints(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    events: Events,
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    models: BTreeMap<String, Arc<Model>>,
    /// By server, endpoint and, if its name is looked up, address. Models of one server share
    /// these replicas, which keep their counts of requests over a reload.
    replicas: HashMap<(String, Endpoint, Option<IpAddr>), Arc<Replica>>,
    /// Servers whose host names are looked up, by name.
    looked_up: HashMap<String, LookedUp>,
    /// Drained replicas by server and `host:port`, and since when they get no requests.
    drained: HashMap<(String, String), Nanos>,
}

/// A server whose host names are looked up.
#[derive(Debug)]
struct LookedUp {
    endpoints: Vec<Endpoint>,
    every: Duration,
    /// The addresses found last; `None`: none yet.
    addresses: Option<ResolvedAddresses>,
    /// Why the last look-up failed.
    failure: Option<String>,
    task: AbortHandle,
}

impl Drop for LookedUp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl StaticEndpoints {
    /// An orchestrator without models. It sends replica sets to `events`.
    #[must_use]
    pub fn new(events: Events) -> Self {
        Self(Arc::new(Shared {
            events,
            content: Mutex::default(),
        }))
    }
}

impl Shared {
    fn content(&self) -> MutexGuard<'_, Content> {
        // Plain data: consistent even if a writer panicked.
        self.content.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn send(&self, set: ReplicaSet) {
        // Fails only when the scaler has stopped.
        let _ = self.events.send(set);
    }

    /// Sends the replica sets of all models of `server`, if its addresses are known.
    fn send_all(&self, content: &mut Content, server: &str) {
        if content.awaits_addresses(server) {
            return;
        }
        let of_server = content.models.values();
        let of_server = of_server.filter(|own| own.server.name == *server);
        let of_server: Vec<_> = of_server.cloned().collect();
        for model in of_server {
            self.send(content.set(&model));
        }
    }

    /// Looks up the names of `server` periodically, for as long as the server is followed. Some
    /// addresses are `known` from before.
    async fn keep_looking(
        self: Arc<Self>,
        server: String,
        endpoints: Vec<Endpoint>,
        every: Duration,
        mut known: ResolvedAddresses,
    ) {
        loop {
            let failure = look_up(&endpoints, &mut known).await.err();
            let pause = match failure.is_some() {
                true => every.min(AGAIN),
                false => every,
            };
            self.found(&server, &known, failure);
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends the replica sets of the server's models if anything has changed.
    fn found(&self, server: &str, addresses: &ResolvedAddresses, failure: Option<String>) {
        let mut content = self.content();
        let Some(looked_up) = content.looked_up.get_mut(server) else {
            return;
        };
        let is_known = looked_up.addresses.as_ref() == Some(addresses);
        if looked_up.failure != failure {
            match &failure {
                Some(failure) => tracing::warn!(server, "{failure}; what was found before stays"),
                None => tracing::info!(server, "its host names can be looked up again"),
            }
        } else if is_known {
            return;
        }
        looked_up.addresses = Some(addresses.clone());
        looked_up.failure = failure;
        // Replicas at removed addresses finish their requests, and are forgotten.
        let mut gone = Vec::new();
        content
            .replicas
            .retain(|(name, endpoint, address), replica| {
                let stays = name != server || address.is_none_or(|ip| addresses.has(endpoint, ip));
                if !stays {
                    gone.push((server.to_owned(), replica.authority().to_owned()));
                }
                stays
            });
        // A drained address that is removed and later returns is a new replica, which is not
        // drained. But another name may still have the address.
        let endpoints = content
            .looked_up
            .get(server)
            .map(|own| own.endpoints.clone());
        let stays: HashSet<_> = (endpoints.iter().flatten())
            .flat_map(|at| {
                addresses
                    .of(at)
                    .map(|ip| addresses::authority(at, Some(ip)))
            })
            .collect();
        content
            .drained
            .retain(|key, _| !gone.contains(key) || stays.contains(&key.1));
        self.send_all(&mut content, server);
    }
}

impl Content {
    fn replica(
        &mut self,
        server: &str,
        at: &Endpoint,
        ip: Option<IpAddr>,
        concurrency: Option<u32>,
    ) -> Arc<Replica> {
        let replica = self
            .replicas
            .entry((server.to_owned(), at.clone(), ip))
            .or_insert_with(|| Arc::new(addresses::replica(server, at, ip, concurrency)));
        replica.set_concurrency(concurrency);
        replica.clone()
    }

    /// The addresses of the replicas of `model`: endpoints, and each address of names that are
    /// looked up.
    fn places<'a>(&self, model: &'a Model) -> Vec<(&'a Endpoint, Option<IpAddr>)> {
        let looked_up = self.looked_up.get(&model.server.name);
        let endpoints = model.server.endpoints().unwrap_or_default().iter();
        let places = endpoints.flat_map(|endpoint| match looked_up {
            Some(looked_up) if addresses::is_name(endpoint) => {
                let found = looked_up.addresses.iter();
                let found = found.flat_map(|found| found.of(endpoint));
                found.map(|ip| (endpoint, Some(ip))).collect()
            }
            _ => vec![(endpoint, None)],
        });
        // An address that two names share is one replica, known by the first name, so that its
        // concurrency counts once.
        let mut known = HashSet::new();
        places
            .filter(|(endpoint, ip)| known.insert(addresses::authority(endpoint, *ip)))
            .collect()
    }

    /// Begins to look up the host names of the model's server, if the server asks for it.
    fn look_up(&mut self, shared: &Arc<Shared>, model: &Model) {
        let server = &model.server;
        let wanted = match &server.kind {
            Kind::Static(spec) => spec.resolve.map(|every| (every, &spec.endpoints)),
            _ => None,
        };
        let known = self.looked_up.get(&server.name);
        let addresses = known.and_then(|known| known.addresses.clone());
        let Some((every, endpoints)) = wanted else {
            self.looked_up.remove(&server.name);
            return;
        };
        if known.is_some_and(|known| (known.every, &known.endpoints) == (every, endpoints)) {
            return;
        }
        let before = addresses.clone().unwrap_or_default();
        let looking =
            (shared.clone()).keep_looking(server.name.clone(), endpoints.clone(), every, before);
        let looked_up = LookedUp {
            endpoints: endpoints.clone(),
            every,
            addresses,
            failure: None,
            task: tokio::spawn(looking).abort_handle(),
        };
        self.looked_up.insert(server.name.clone(), looked_up);
    }

    /// Whether the server's host names are looked up and no address has been found so far.
    fn awaits_addresses(&self, server: &str) -> bool {
        let looked_up = self.looked_up.get(server);
        looked_up.is_some_and(|looked_up| looked_up.addresses.is_none())
    }

    /// Forgets servers that no longer have a model.
    fn forget_servers(&mut self) {
        let models = &self.models;
        self.looked_up
            .retain(|server, _| models.values().any(|model| model.server.name == *server));
    }

    fn set(&mut self, model: &Model) -> ReplicaSet {
        let server = &model.server;
        let concurrency = server.concurrency.map(std::num::NonZeroU32::get);
        let places = self.places(model);
        let (mut ready, mut leaving) = (Vec::new(), Vec::new());
        for &(endpoint, ip) in &places {
            let replica = self.replica(&server.name, endpoint, ip, concurrency);
            let key = (server.name.clone(), replica.authority().to_owned());
            if let Some(&since) = self.drained.get(&key) {
                replica.close();
                leaving.push(Transition { replica, since });
            } else {
                if replica.is_closed() {
                    replica.reopen();
                }
                ready.push(replica);
            }
        }
        let names: Vec<_> = leaving.iter().map(|own| own.replica.authority()).collect();
        let warning = match &*names {
            [] => None,
            names => Some(format!(
                "drained by an operator, so that no request is sent there until it is resumed: {}",
                names.join(", ")
            )),
        };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        ReplicaSet {
            model: model.name.clone(),
            ready,
            draining: count(leaving.len()),
            leaving,
            warning,
            capacity: count(places.len()),
            failure: (self.looked_up.get(&server.name))
                .and_then(|looked_up| looked_up.failure.clone()),
            ..ReplicaSet::default()
        }
    }
}

#[async_trait]
impl Orchestrator for StaticEndpoints {
    fn follow(&self, model: &Arc<Model>) {
        let mut content = self.0.content();
        content.models.insert(model.name.clone(), model.clone());
        content.forget_servers();
        content.look_up(&self.0, model);
        // The first set is sent when the first addresses are found.
        if !content.awaits_addresses(&model.server.name) {
            self.0.send(content.set(model));
        }
    }

    /// Does nothing: the addresses are fixed.
    async fn scale(&self, _model: &Arc<Model>, _replicas: u32) -> Result<(), ScaleError> {
        Ok(())
    }

    async fn restart(&self, _model: &str, _replica: &Arc<Replica>) -> Result<(), ScaleError> {
        let why = "Tailback does not run the endpoints of static servers: drain the endpoint, restart what is behind \
                   it, and resume it";
        Err(ScaleError::Refused(why.to_owned()))
    }

    fn set_drained(
        &self,
        model: &Arc<Model>,
        authority: &str,
        drained: bool,
    ) -> Result<(), ScaleError> {
        let server = &model.server.name;
        let mut content = self.0.content();
        let key = (server.clone(), authority.to_owned());
        if drained {
            content.drained.entry(key).or_insert_with(Nanos::now);
        } else {
            content.drained.remove(&key);
        }
        self.0.send_all(&mut content, server);
        Ok(())
    }

    async fn forget(&self, model: &str) {
        let mut content = self.0.content();
        content.models.remove(model);
        content.forget_servers();
    }

    async fn shutdown(&self) {
        self.0.content().looked_up.clear();
    }
}

#[cfg(test)]
mod tests;

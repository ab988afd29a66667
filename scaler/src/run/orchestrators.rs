//! The orchestrators and their events.
//!
//! A model may move to another orchestrator, or go and come back, while older events are still
//! queued. So each orchestrator has its own channel with numbered events. A controller that
//! starts at an [`Epoch`] gets later events of the same orchestrator, and nothing else.

use std::{future::poll_fn, sync::Arc, task::Poll};

use tailback_config::{Kind, Model};
use tokio::sync::mpsc;

use super::options::ScalerOptions;
use crate::orchestrator::{
    Events, Orchestrator, ReplicaSet,
    host::HostPlacement,
    kubernetes::Kubernetes,
    multi_model::{MultiModelServers, ServerOrchestrators},
    process::Processes,
    seldon::Seldon,
    static_endpoints::StaticEndpoints,
    webhook::Webhooks,
};

/// A position in the events of an orchestrator.
#[derive(Clone)]
pub(super) struct Epoch {
    pub orchestrator: Arc<dyn Orchestrator>,
    /// How many replica sets it had sent before.
    number: u64,
}

/// An orchestrator and its events.
struct Feed {
    orchestrator: Arc<dyn Orchestrator>,
    events: mpsc::UnboundedReceiver<ReplicaSet>,
    /// How many replica sets were received.
    received: u64,
}

/// Every orchestrator with its channel.
pub(super) struct Orchestrators {
    /// The process orchestrator, by its own type.
    local: Arc<Processes>,
    processes: Feed,
    static_endpoints: Feed,
    kubernetes: Feed,
    webhooks: Feed,
    seldon: Feed,
    /// The multi-model orchestrator, by its own type; `hosted` has the sets of its servers'
    /// models.
    multi_model: Arc<MultiModelServers>,
    hosted: Feed,
    /// The host orchestrator, by its own type.
    host: Arc<HostPlacement>,
    on_host: Feed,
}

// === impl Epoch ===

impl Epoch {
    /// Whether an event at this position is for a controller that started at `since`.
    pub(super) fn is_after(&self, since: &Self) -> bool {
        Arc::ptr_eq(&self.orchestrator, &since.orchestrator) && self.number >= since.number
    }
}

// === impl Feed ===

impl Feed {
    fn new<O: Orchestrator + 'static>(orchestrator: impl FnOnce(Events) -> O) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        Self::of(Arc::new(orchestrator(sender)), events)
    }

    fn of(
        orchestrator: Arc<dyn Orchestrator>,
        events: mpsc::UnboundedReceiver<ReplicaSet>,
    ) -> Self {
        Self {
            orchestrator,
            events,
            received: 0,
        }
    }

    /// The position after all events that were sent until now.
    fn now(&self) -> Epoch {
        Epoch {
            orchestrator: self.orchestrator.clone(),
            number: self.received + self.events.len() as u64,
        }
    }
}

// === impl Orchestrators ===

impl Orchestrators {
    pub(super) fn new(options: &ScalerOptions) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let (supervisor, logs) = (options.supervisor.clone(), options.logs.clone());
        let local = Arc::new(Processes::new(supervisor, sender, logs));
        let processes = Feed::of(local.clone(), events);
        let (sender, events) = mpsc::unbounded_channel();
        let host = Arc::new(HostPlacement::new(
            local.clone(),
            sender,
            options.servers.clone(),
            &options.placement,
        ));
        let on_host = Feed::of(host.clone(), events);
        let static_endpoints = Feed::new(StaticEndpoints::new);
        let kubernetes = Feed::new(Kubernetes::new);
        let (sender, events) = mpsc::unbounded_channel();
        let multi_model = Arc::new(MultiModelServers::new(
            ServerOrchestrators {
                processes: processes.orchestrator.clone(),
                static_endpoints: static_endpoints.orchestrator.clone(),
                kubernetes: kubernetes.orchestrator.clone(),
            },
            sender,
            options.placement.clone(),
            options.servers.clone(),
        ));
        Self {
            processes,
            local,
            static_endpoints,
            kubernetes,
            webhooks: Feed::new(Webhooks::new),
            seldon: Feed::new(Seldon::new),
            hosted: Feed::of(multi_model.clone(), events),
            multi_model,
            host,
            on_host,
        }
    }

    /// The orchestrator of models that share the machine's room.
    pub(super) fn host(&self) -> &HostPlacement {
        &self.host
    }

    /// Passes a replica set that is no model's own to the orchestrators that build on others.
    pub(super) fn pass_on(&self, set: ReplicaSet) {
        self.host.changed(set.clone());
        self.multi_model.server_changed(set);
    }

    /// The orchestrator of multi-model servers.
    pub(super) fn multi_model(&self) -> &MultiModelServers {
        &self.multi_model
    }

    /// The orchestrator of processes of this host.
    pub(super) fn local(&self) -> &Arc<Processes> {
        &self.local
    }

    /// Whether the event at `epoch` came from the process orchestrator.
    pub(super) fn is_local(&self, epoch: &Epoch) -> bool {
        Arc::ptr_eq(&self.processes.orchestrator, &epoch.orchestrator)
    }

    /// The current position in the events of the orchestrator of this model.
    pub(super) fn now(&self, model: &Model) -> Epoch {
        match &model.server.kind {
            _ if model.server.multi_model.is_some() => self.hosted.now(),
            _ if model.room.is_some() => self.on_host.now(),
            Kind::Process(_) => self.processes.now(),
            Kind::Static(_) => self.static_endpoints.now(),
            Kind::Kubernetes(_) => self.kubernetes.now(),
            Kind::Webhook(_) => self.webhooks.now(),
            Kind::Seldon(_) => self.seldon.now(),
        }
    }

    fn all(&mut self) -> [&mut Feed; 7] {
        [
            &mut self.on_host,
            // Polled before the orchestrators of its servers.
            &mut self.hosted,
            &mut self.processes,
            &mut self.static_endpoints,
            &mut self.kubernetes,
            &mut self.webhooks,
            &mut self.seldon,
        ]
    }

    /// The next event of any orchestrator, and its position.
    pub(super) async fn next(&mut self) -> (Epoch, ReplicaSet) {
        poll_fn(|context| {
            for feed in self.all() {
                // An orchestrator keeps its sender, so the channel does not end.
                if let Poll::Ready(Some(set)) = feed.events.poll_recv(context) {
                    let epoch = Epoch {
                        orchestrator: feed.orchestrator.clone(),
                        number: feed.received,
                    };
                    feed.received += 1;
                    return Poll::Ready((epoch, set));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Shuts all orchestrators down. Returns when the replicas that they run have stopped.
    pub(super) async fn shutdown(&mut self) {
        for feed in self.all() {
            feed.orchestrator.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, path::PathBuf, time::Duration};

    use tailback_config::{Env, load_text};

    use super::*;
    use crate::{
        ledger::Wake, peers::publisher::CountsPublisher, replica_logs::ReplicaLogs,
        server_status::ServerStatusStore, status::StatusStore,
    };

    fn options() -> ScalerOptions {
        ScalerOptions {
            period: Duration::from_secs(1),
            wake: Wake::default(),
            status: StatusStore::default(),
            logs: ReplicaLogs::default(),
            servers: ServerStatusStore::default(),
            placement: load_text(Path::new("a.yaml"), MANIFESTS, &Env::default())
                .unwrap()
                .process
                .placement,
            supervisor: PathBuf::new(),
            publisher: CountsPublisher::default(),
            peers: None,
        }
    }

    const MANIFESTS: &str = "{ apiVersion: tailback.dev/v1alpha1, kind: Server, metadata: { name: s }, \
                             spec: { static: { endpoints: ['http://a'] } } }\n---\n\
                             { apiVersion: tailback.dev/v1alpha1, kind: Model, metadata: { name: m }, spec: { server: s } }";

    fn set() -> ReplicaSet {
        ReplicaSet::default()
    }

    #[tokio::test]
    async fn only_later_events_of_the_same_orchestrator_are_accepted() {
        let (mut first, mut second) = (None, None);
        let mut sources = Orchestrators {
            processes: Feed::new(|events| StaticEndpoints::new(first.insert(events).clone())),
            static_endpoints: Feed::new(|events| {
                StaticEndpoints::new(second.insert(events).clone())
            }),
            ..Orchestrators::new(&options())
        };
        let (first, second) = (first.unwrap(), second.unwrap());
        let start = sources.processes.now();
        first.send(set()).unwrap();
        let (early, _) = sources.next().await;
        assert!(early.is_after(&start));

        first.send(set()).unwrap();
        let since = sources.processes.now();
        second.send(set()).unwrap();
        first.send(set()).unwrap();
        let mut epochs = Vec::new();
        for _ in 0..3 {
            let (epoch, _) = sources.next().await;
            epochs.push((epoch.is_after(&start), epoch.is_after(&since)));
        }
        epochs.sort_unstable();
        assert_eq!(
            epochs,
            [(false, false), (true, false), (true, true)],
            "another's, one on its way, and one that is meant"
        );
    }
}

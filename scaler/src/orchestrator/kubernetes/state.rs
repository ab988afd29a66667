//! The known state of one workload. Pure: the follower passes events and the time.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use tailback_config::{Endpoint, Model, Service, WorkloadSource};

use super::{
    count::WorkloadCount,
    endpoints,
    members::{Members, Running, Waiting},
    scale::Scale,
    workload::{CountAt, ObservedWorkload},
};
use crate::{
    clock::Nanos,
    orchestrator::{ReplicaSet, gateway::GatewayAddresses, start_up::StartUps},
    replica::Replica,
};

/// A workload: its count, its replicas, and how they are reached.
pub(super) struct WorkloadState {
    server: String,
    concurrency: Option<u32>,
    count: WorkloadCount,
    start_ups: StartUps,
    workload: WatchHealth,
    /// How many replicas are ready, if the workload's status has that number.
    status: Option<u32>,
    /// What is wrong according to the workload's own conditions.
    failure: Option<String>,
    /// How long its pods have to finish.
    grace: Option<Duration>,
    way: Way,
}

/// The health of one of the two watches.
#[derive(Debug, Default)]
struct WatchHealth {
    ever: bool,
    /// Why it is broken now.
    trouble: Option<String>,
}

/// Where requests go.
enum Way {
    Pods {
        service: Service,
        slices: BTreeMap<String, EndpointSlice>,
        members: Members,
        watch: WatchHealth,
        /// Why endpoints are missing: their slice does not have the port.
        port: Option<String>,
    },
    Gateway {
        addresses: GatewayAddresses,
        endpoints: Vec<Endpoint>,
        /// How many replicas are behind the gateway, by the workload's status.
        ready: u32,
    },
}

impl WorkloadState {
    pub(super) fn new(server: &str, source: &WorkloadSource) -> Self {
        let way = match source {
            WorkloadSource::Service(service) => Way::Pods {
                service: service.clone(),
                slices: BTreeMap::new(),
                members: Members::default(),
                watch: WatchHealth::default(),
                port: None,
            },
            WorkloadSource::Endpoints(endpoints) => Way::Gateway {
                addresses: GatewayAddresses::default(),
                endpoints: endpoints.clone(),
                ready: 0,
            },
        };
        Self {
            server: server.to_owned(),
            concurrency: None,
            count: WorkloadCount::default(),
            start_ups: StartUps::default(),
            workload: WatchHealth::default(),
            status: None,
            failure: None,
            grace: None,
            way,
        }
    }

    // === events ===

    pub(super) fn workload_seen(
        &mut self,
        observed: &ObservedWorkload,
        count_at: CountAt,
        now: Nanos,
    ) {
        self.workload.trouble = None;
        self.failure.clone_from(&observed.failure);
        self.grace = observed.grace;
        if count_at == CountAt::Spec {
            self.workload.ever = true;
            let replicas = observed.replicas.unwrap_or(1);
            self.count.seen(Some(replicas), &observed.version, now);
        }
        self.status = observed.ready;
        match (observed.ready, count_at) {
            (Some(ready), _) => self.ready_behind(ready, now),
            // Kubernetes omits counts of 0.
            (None, CountAt::Spec) => self.ready_behind(0, now),
            (None, CountAt::Scale) => {}
        }
    }

    /// Takes what was read from the scale subresource.
    pub(super) fn scale_read(&mut self, scale: &Scale, now: Nanos) {
        self.workload = WatchHealth {
            ever: true,
            trouble: None,
        };
        self.count.seen(Some(scale.replicas), &scale.version, now);
        if self.status.is_none() {
            self.ready_behind(scale.present, now);
        }
    }

    /// Takes the API server's word that the workload does not exist.
    pub(super) fn workload_gone(&mut self, why: String, now: Nanos) {
        self.workload.ever = true;
        self.workload.trouble = None;
        self.failure = Some(why);
        self.count.seen(None, "", now);
        self.ready_behind(0, now);
    }

    pub(super) fn workload_trouble(&mut self, why: String) {
        self.workload.trouble = Some(why);
    }

    pub(super) fn slices_changed(
        &mut self,
        change: impl FnOnce(&mut BTreeMap<String, EndpointSlice>),
        now: Nanos,
    ) {
        let Way::Pods {
            service,
            slices,
            members,
            watch,
            port,
        } = &mut self.way
        else {
            return;
        };
        change(slices);
        let read = endpoints::read(slices.values(), service);
        let got_ready = members.update(read.found, &self.server, self.concurrency, now);
        *port = read.trouble;
        *watch = WatchHealth {
            ever: true,
            trouble: None,
        };
        self.got_ready(got_ready, now);
    }

    pub(super) fn slices_trouble(&mut self, why: String) {
        if let Way::Pods { watch, .. } = &mut self.way {
            watch.trouble = Some(why);
        }
    }

    /// Takes the response to our request at the time `asked`.
    pub(super) fn answered(&mut self, scale: &Scale, from: Option<u32>, asked: Nanos) {
        let from = from.unwrap_or(scale.replicas);
        self.start_ups.asked(from, scale.replicas, asked);
        self.count
            .answered(scale.replicas, &scale.version, Nanos::now());
    }

    pub(super) fn set_concurrency(&mut self, concurrency: Option<u32>) {
        self.concurrency = concurrency;
        if let Way::Pods { members, .. } = &self.way {
            members.set_concurrency(concurrency);
        }
    }

    fn ready_behind(&mut self, now_ready: u32, now: Nanos) {
        if let Way::Gateway { ready, .. } = &mut self.way {
            let got_ready = now_ready.saturating_sub(*ready);
            *ready = now_ready;
            self.got_ready(got_ready, now);
        }
    }

    fn got_ready(&mut self, count: u32, now: Nanos) {
        self.start_ups.ready(count, now);
        if self.desired() == Some(self.ready_count()) {
            self.start_ups.complete();
        }
    }

    pub(super) fn tidy(&mut self, now: Nanos) -> Waiting {
        match &mut self.way {
            Way::Pods { members, .. } => members.tidy(now),
            Way::Gateway { .. } => Waiting::No,
        }
    }

    // === queries ===

    pub(super) fn desired(&self) -> Option<u32> {
        self.count.desired()
    }

    /// The pods that take requests.
    pub(super) fn running(&self) -> Vec<Running> {
        match &self.way {
            Way::Pods { members, .. } => members.ready(),
            Way::Gateway { .. } => Vec::new(),
        }
    }

    fn ready_count(&self) -> u32 {
        match &self.way {
            Way::Pods { members, .. } => u32::try_from(members.ready().len()).unwrap_or(u32::MAX),
            Way::Gateway { ready, .. } => *ready,
        }
    }

    /// The replica set of `model`; `None` while nothing is known.
    pub(super) fn set(&mut self, model: &Model) -> Option<ReplicaSet> {
        let failure = self.wrong();
        let complete = self.workload.ever
            && match &self.way {
                Way::Pods { watch, .. } => watch.ever,
                Way::Gateway { .. } => true,
            };
        if !complete {
            // The replicas are not known yet, but the error is.
            return failure.map(|failure| ReplicaSet {
                model: model.name.clone(),
                capacity: capacity(model),
                failure: Some(failure),
                ..ReplicaSet::default()
            });
        }
        let count = self.ready_count();
        let (ready, behind, draining): (Vec<Arc<Replica>>, _, _) = match &mut self.way {
            Way::Pods { members, .. } => {
                let ready = members.ready().into_iter().map(|one| one.replica);
                (ready.collect(), None, members.draining())
            }
            Way::Gateway {
                addresses,
                endpoints,
                ..
            } => {
                let each = self.concurrency.and_then(NonZeroU32::new);
                let through = addresses.gateway(&self.server, endpoints, each, count);
                (through, Some(count), 0)
            }
        };
        Some(ReplicaSet {
            model: model.name.clone(),
            desired: self.desired(),
            ready,
            behind,
            starting: self.desired().unwrap_or(0).saturating_sub(count),
            draining,
            capacity: capacity(model),
            start_up: self.start_ups.last(),
            failure,
            warning: self.grace.and_then(|grace| too_short(grace, model)),
            ..ReplicaSet::default()
        })
    }

    /// What is wrong, the most informative message first.
    fn wrong(&self) -> Option<String> {
        let (slices, port) = match &self.way {
            Way::Pods { watch, port, .. } => (watch.trouble.as_ref(), port.as_ref()),
            Way::Gateway { .. } => (None, None),
        };
        let all = [
            self.workload.trouble.as_ref(),
            slices,
            port,
            self.failure.as_ref(),
        ];
        all.into_iter().flatten().next().cloned()
    }
}

/// The warning for pods whose grace period is shorter than a request of `model` may take.
fn too_short(grace: Duration, model: &Model) -> Option<String> {
    let timeouts = &model.timeouts;
    let (may_take, setting) = match timeouts.total.value {
        Some(total) => (total, "timeouts.totalSeconds"),
        None => (
            timeouts.response_header.value,
            "timeouts.responseHeaderSeconds; totalSeconds is not set",
        ),
    };
    (grace < may_take).then(|| {
        format!(
            "pods are killed {} s after they are asked to end (terminationGracePeriodSeconds), and a request may take \
             {} s ({setting}): a scale-down or roll-out may cut requests off; raise the first or lower the second",
            grace.as_secs_f64(),
            may_take.as_secs_f64()
        )
    })
}

fn capacity(model: &Model) -> u32 {
    model.server.max_replicas.unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;

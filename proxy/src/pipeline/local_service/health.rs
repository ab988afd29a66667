//! `grpc.health.v1.Health` (github.com/grpc/grpc, `doc/health-checking.md`): the health of the
//! proxy, and of each model by its name.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::time::{MissedTickBehavior, interval};
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_server::Health,
};

use crate::{
    api_keys::Caller,
    downstream::Lifecycle,
    models::{Known, SharedRoutes, worker},
    pipeline::Pipeline,
};

/// How often a watched status is checked for changes.
const WATCH: Duration = Duration::from_millis(250);

/// The service names that stand for the proxy as a whole: none, or a service that it offers.
const OWN_SERVICES: [&str; 5] = [
    "",
    "inference.GRPCInferenceService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// The health of the proxy and of the models that it serves.
#[derive(Clone, Debug)]
pub(super) struct ServedHealth {
    routes: Arc<SharedRoutes>,
    lifecycle: Arc<Lifecycle>,
    /// The model whose health is reported in place of the proxy's.
    about: Option<String>,
    /// The models whose health the caller may know; `None`: all.
    allowed: Option<Arc<HashSet<Box<str>>>>,
}

impl ServedHealth {
    /// Reports the health of `about`, if there is one, in place of the proxy's.
    pub(super) fn new(pipeline: &Pipeline, about: Option<&Known>, caller: &Caller) -> Self {
        Self {
            routes: pipeline.routes.clone(),
            lifecycle: pipeline.lifecycle.clone(),
            about: about.map(|known| known.model.model.name().to_owned()),
            allowed: caller.models(),
        }
    }

    /// The health of `service`, which is the proxy or the name of a model. A model is serving while
    /// it has a replica that takes requests.
    fn status(&self, service: &str) -> ServingStatus {
        let model = match (OWN_SERVICES.contains(&service), &self.about) {
            (true, about) => about.as_deref(),
            (false, _) => Some(service),
        };
        let table = worker::table(&self.routes);
        let is_allowed = |known: &Known| {
            let name = known.model.model.name();
            self.allowed.as_ref().is_none_or(|all| all.contains(name))
        };
        let serves = match model.map(|model| table.known(model)) {
            None => true,
            Some(Ok(known)) if !is_allowed(&known) => return ServingStatus::ServiceUnknown,
            Some(Ok(known)) => !known.model.model.pool.replicas().is_empty(),
            Some(Err(_)) => return ServingStatus::ServiceUnknown,
        };
        match serves && !self.lifecycle.is_draining() {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        }
    }
}

#[tonic::async_trait]
impl Health for ServedHealth {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        match self.status(&service) {
            ServingStatus::ServiceUnknown => Err(Status::not_found(format!(
                "no service or model {service:?} is served here"
            ))),
            status => Ok(Response::new(answer(status))),
        }
    }

    /// The status now, and after each change, until the proxy drains.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        let mut ticks = interval(WATCH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watch = (self.clone(), service, ticks, None);
        let changes = stream::unfold(watch, |(health, service, mut ticks, last)| async move {
            loop {
                ticks.tick().await;
                let status = health.status(&service);
                if last != Some(status) {
                    let next = (health, service, ticks, Some(status));
                    return Some((Ok(answer(status)), next));
                }
                if health.lifecycle.is_draining() {
                    return None;
                }
            }
        });
        Ok(Response::new(changes.boxed()))
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

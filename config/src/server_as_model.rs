//! Presents a multi-model server to its orchestrator as if it were a model.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::{
    FairBy, Hold, Model, Origin, Policy, Replicas, RequestTimeouts, ResponseModel, Scaling, Server,
    ServerReplicas, Setting,
};

/// Presents the multi-model server `server` as a model with the server's name, so that
/// orchestrators can run its replicas like those of any model. No request is for it, and its
/// settings for requests and scaling have no effect.
#[must_use]
pub fn server_as_model(server: &Arc<Server>) -> Model {
    fn unused<T>(value: T) -> Setting<T> {
        Setting::new(value, Origin::Default)
    }
    let own = server.multi_model.as_ref().map(|own| own.replicas);
    let own = own.unwrap_or(ServerReplicas::ONE);
    let time = Duration::from_secs(1);
    Model {
        name: server.name.clone(),
        aliases: Vec::new(),
        wildcards: Vec::new(),
        place: server.place.clone(),
        upstream_name: None,
        response_model: ResponseModel::default(),
        allow: Vec::new(),
        server: Arc::clone(server),
        storage_uri: None,
        requirements: Vec::new(),
        memory: None,
        room: None,
        host: None,
        replicas: Replicas {
            min: own.min,
            max: own.max,
            initial: own.initial,
            scaled: own.scaled,
            min_origin: Origin::Server(server.place.clone()),
            max_origin: Origin::Server(server.place.clone()),
            initial_origin: Origin::Server(server.place.clone()),
        },
        concurrency: Setting::new(server.concurrency, Origin::Server(server.place.clone())),
        hold: Hold {
            queue: unused(0),
            deadline: unused(time),
            classes: unused(None),
            fair_by: unused(FairBy::None),
        },
        timeouts: RequestTimeouts {
            connect: unused(time),
            response_header: unused(time),
            first_byte: unused(time),
            stream_idle: unused(time),
            total: unused(None),
        },
        include_usage: unused(false),
        retry: unused(None),
        scaling: Scaling {
            policy: unused(Policy::Lag),
            lag_threshold: unused(NonZeroU32::MIN),
            inactive: unused(time),
            stability: unused(time),
            target_wait: unused(time),
            up_limit: unused(None),
            down_limit: unused(None),
            dry_run: unused(false),
            pin: unused(false),
        },
    }
}

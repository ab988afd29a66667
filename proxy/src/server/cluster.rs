//! Models that come from a Kubernetes cluster: read before serving starts, so that a new proxy does
//! not reject requests for them, then followed.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tailback_config::{Config, Store};
use tailback_scaler::orchestrator::kubernetes;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use super::signal::Event;

/// How long the start waits for the cluster's models.
const FIRST: Duration = Duration::from_secs(10);

/// Checks that the API server's address and credentials can be found, if `config` uses a cluster.
/// The API server itself may be unreachable for now: it is retried.
pub(super) async fn check(config: &Config) -> Result<()> {
    let mut servers = config.servers.values();
    let reason = match servers.find(|server| server.kubernetes().is_some()) {
        Some(server) => format!("server {} is a Kubernetes workload", server.name),
        None if config.process.cluster_models.is_some() => "TAILBACK_KUBE_MODELS is set".into(),
        None if config.process.peers.is_some() => "TAILBACK_KUBE_PEERS is set".into(),
        None => return Ok(()),
    };
    kubernetes::find().await.context(reason)
}

/// Loads the cluster's models into `store`, if `config` asks for that, and sends an event for each
/// later change. Must be called within a tokio runtime.
pub(super) async fn follow(store: &Arc<Store>, tell: mpsc::UnboundedSender<Event>) {
    let Some(models) = store.current().process.cluster_models.clone() else {
        return;
    };
    let (loaded, mut first) = watch::channel(false);
    let into = store.clone();
    tokio::spawn(kubernetes::models(models.namespace, move |objects| {
        into.set_cluster(objects);
        loaded.send_replace(true);
        // During a shutdown the receiver may be gone.
        let _ = tell.send(Event::Reload("the cluster's models changed"));
    }));
    if timeout(FIRST, first.wait_for(|loaded| *loaded))
        .await
        .is_err()
    {
        tracing::warn!(
            "the cluster's models did not arrive within {FIRST:?}: starting without them"
        );
    }
}

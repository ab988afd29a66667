//! What a cluster adds to the manifests: found before anything is served, so
//! that a proxy that is new turns nobody away, and followed from then on.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tailback_config::{Config, Store};
use tailback_scaler::orchestrator::kubernetes;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use super::signal::Event;

/// How long a start waits for the cluster's models.
const FIRST: Duration = Duration::from_secs(10);

/// Whether the cluster that `config` speaks of can be found, if it speaks of one.
/// It may still be out of reach: that is waited out.
pub(super) async fn check(config: &Config) -> Result<()> {
    let mut servers = config.servers.values();
    let who = match servers.find(|server| server.kubernetes().is_some()) {
        Some(server) => format!("server {} is a Kubernetes workload", server.name),
        None if config.process.cluster_models.is_some() => "TAILBACK_KUBE_MODELS is set".into(),
        None if config.process.peers.is_some() => "TAILBACK_KUBE_PEERS is set".into(),
        None => return Ok(()),
    };
    kubernetes::find().await.context(who)
}

/// Puts the cluster's models into `store`, if they are to be served; tells of each
/// later change. Needs a tokio runtime around it.
pub(super) async fn follow(store: &Arc<Store>, tell: mpsc::UnboundedSender<Event>) {
    let Some(models) = store.current().process.cluster_models.clone() else {
        return;
    };
    let (heard, mut first) = watch::channel(false);
    let into = store.clone();
    tokio::spawn(kubernetes::models(models.namespace, move |objects| {
        into.set_cluster(objects);
        heard.send_replace(true);
        // Nobody hears it any more during a shutdown.
        let _ = tell.send(Event::Reload("the cluster's models changed"));
    }));
    if timeout(FIRST, first.wait_for(|heard| *heard))
        .await
        .is_err()
    {
        tracing::warn!("the cluster has not told its models within {FIRST:?}: starting without");
    }
}

//! The way to the cluster: found once, and found anew when it does not know us
//! any more.
//!
//! kube-rs reads a service account's token again every minute by itself. What
//! it keeps for good (a kubeconfig's certificates, a token written in it) is
//! read again after an answer of 401.

use std::{sync::LazyLock, time::Duration};

use kube::{Client, Config, config::KubeConfigOptions};
use tokio::{
    sync::{Mutex, Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};

use super::reachability::Reachability;
use crate::orchestrator::error_chain::chain;

const CONNECT: Duration = Duration::from_secs(5);
const WRITE: Duration = Duration::from_secs(10);
/// An idle connection is taken for dead after this. Longer than any watch lasts.
pub(super) const LONGEST_SILENCE: Duration = Duration::from_secs(90);
/// Credentials are not read again sooner than this.
const RENEWAL: Duration = Duration::from_secs(1);
/// A command in a kubeconfig may be asked for credentials.
const FIND: Duration = Duration::from_secs(30);

/// Why there is no way to the cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Nothing says where it is.
    #[error(
        "there is no cluster to talk to. Looked for a kubeconfig (KUBECONFIG, or ~/.kube/config): {kubeconfig}; \
         and for a service account (KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT and \
         /var/run/secrets/kubernetes.io/serviceaccount): {account}"
    )]
    NotFound {
        /// What is wrong with the one.
        kubeconfig: String,
        /// What is wrong with the other.
        account: String,
    },
    /// What says where it is makes no client.
    #[error("the cluster's credentials cannot be used: {0}")]
    Unusable(String),
    /// A credential command hangs.
    #[error("the cluster's credentials were not there within {} s", FIND.as_secs())]
    Slow,
}

/// Requests at once, beside watches: each takes a connection. Further ones wait
/// their turn.
const CALLS: usize = 16;

/// The cluster of this process.
pub(crate) struct Cluster {
    known: Mutex<Option<Known>>,
    calls: Semaphore,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            calls: Semaphore::new(CALLS),
        }
    }
}

/// There is one API server, and all who ask it hear of its outages.
static REACHABILITY: LazyLock<Reachability> = LazyLock::new(Reachability::default);

struct Known {
    client: Client,
    since: Instant,
}

/// Whether there is a cluster to talk to, by what is configured: it is not asked.
///
/// # Errors
/// What was looked for, and not found.
pub async fn find() -> Result<(), ClusterError> {
    config().await.map(|_| ())
}

impl Cluster {
    /// Whether it answers.
    pub(crate) fn reachability(&self) -> &'static Reachability {
        &REACHABILITY
    }

    /// Waits for the turn of a request, which is over when this is dropped.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.calls.acquire().await.ok()
    }

    pub(crate) async fn client(&self) -> Result<Client, ClusterError> {
        let mut known = self.known.lock().await;
        if let Some(known) = &*known {
            return Ok(known.client.clone());
        }
        let made = async {
            let config = config().await?;
            Client::try_from(config).map_err(|e| ClusterError::Unusable(chain(&e)))
        };
        let client = timeout(FIND, made)
            .await
            .map_err(|_| ClusterError::Slow)??;
        *known = Some(Known {
            client: client.clone(),
            since: Instant::now(),
        });
        Ok(client)
    }

    /// The cluster does not know us: the next client is made of credentials as
    /// they are then.
    pub(crate) async fn renew(&self) {
        let mut known = self.known.lock().await;
        if known
            .as_ref()
            .is_some_and(|known| known.since.elapsed() >= RENEWAL)
        {
            *known = None;
        }
    }
}

async fn config() -> Result<Config, ClusterError> {
    let kubeconfig = Config::from_kubeconfig(&KubeConfigOptions::default()).await;
    let mut config = match kubeconfig {
        Ok(config) => config,
        Err(kubeconfig) => Config::incluster().map_err(|account| ClusterError::NotFound {
            kubeconfig: chain(&kubeconfig),
            account: chain(&account),
        })?,
    };
    config.connect_timeout = Some(CONNECT);
    config.write_timeout = Some(WRITE);
    // Lists have no other bound, and a connection may die silently.
    config.read_timeout = Some(LONGEST_SILENCE);
    config.reset_reader_on_write = true;
    // Who asks decides whether and when to ask again.
    config.default_retry = false;
    Ok(config)
}

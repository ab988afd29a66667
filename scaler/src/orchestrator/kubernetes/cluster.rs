//! The client of the cluster: made once, and made again when the API server no longer accepts its
//! credentials.
//!
//! kube-rs itself reads a service account's token again every minute. Certificates and tokens of
//! a kubeconfig are read again after a response of 401.

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
/// A connection without data for this long counts as dead. Longer than any watch lasts.
pub(super) const LONGEST_SILENCE: Duration = Duration::from_secs(90);
/// Shortest time between two reads of the credentials.
const RENEWAL: Duration = Duration::from_secs(1);
/// Time limit for making a client. A kubeconfig may name a command that fetches credentials.
const FIND: Duration = Duration::from_secs(30);

/// Why there is no client of the cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// There is neither a kubeconfig nor a service account.
    #[error(
        "no Kubernetes cluster is configured. Looked for a kubeconfig (KUBECONFIG, or ~/.kube/config): {kubeconfig}; \
         and for a service account (KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT and \
         /var/run/secrets/kubernetes.io/serviceaccount): {account}"
    )]
    NotFound {
        /// What is wrong with the kubeconfig.
        kubeconfig: String,
        /// What is wrong with the service account.
        account: String,
    },
    /// No client can be made of the kubeconfig or service account.
    #[error("the cluster's credentials cannot be used: {0}")]
    Unusable(String),
    /// The command that fetches credentials takes too long.
    #[error("fetching the cluster's credentials took longer than {} s: check the credential command (exec) in the kubeconfig", FIND.as_secs())]
    Slow,
}

/// Largest number of concurrent calls, because each takes a connection. Further calls wait.
/// Watches are not counted.
const CALLS: usize = 16;

/// The cluster that this process is configured for.
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

/// Shared by all clients in this process: there is one API server.
static REACHABILITY: LazyLock<Reachability> = LazyLock::new(Reachability::default);

struct Known {
    client: Client,
    since: Instant,
}

/// Checks that a cluster is configured. Does not connect to it.
///
/// # Errors [`ClusterError`], which says what was looked for and what is wrong with it.
pub async fn find() -> Result<(), ClusterError> {
    config().await.map(|_| ())
}

impl Cluster {
    /// Whether the API server answers.
    pub(crate) fn reachability(&self) -> &'static Reachability {
        &REACHABILITY
    }

    /// Waits until one of [`CALLS`] permits is free. Dropping the permit frees it.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
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

    /// Discards the client, because the API server rejects its credentials. The next one reads
    /// them again.
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
    // The only time limit of lists, and the way to notice a dead connection.
    config.read_timeout = Some(LONGEST_SILENCE);
    config.reset_reader_on_write = true;
    // The callers retry themselves.
    config.default_retry = false;
    Ok(config)
}

//! Orchestrators start and stop replicas.
//!
//! The scaler asks an [`Orchestrator`] for an absolute count of replicas. The orchestrator sends a
//! [`ReplicaSet`] whenever the replicas change. [`process`] runs local processes, [`kubernetes`]
//! scales workloads in a cluster, [`webhook`] calls an HTTP API, and [`seldon`] triggers the
//! scheduler of Seldon Core 2. [`static_endpoints`] has fixed addresses from the manifest, which
//! are never scaled. Two orchestrators build on others: [`multi_model`] loads many models into the
//! replicas of a server, and [`host`] assigns the devices of a machine to processes. [`probe`]
//! finds out whether a replica is ready.

mod error_chain;
mod gateway;
pub mod handover;
pub mod host;
mod http1_connection;
pub mod kubernetes;
pub mod multi_model;
pub mod probe;
pub mod process;
pub mod seldon;
mod start_up;
pub mod static_endpoints;
pub mod webhook;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tailback_config::Model;
use tokio::sync::mpsc;

use crate::{
    clock::Nanos,
    replica::{Replica, Transition},
    server_status::PlacementStatus,
};

/// The state of a model's replicas. It is sent whole whenever any of it changes.
#[derive(Clone, Debug, Default)]
pub struct ReplicaSet {
    /// The model's name.
    pub model: String,
    /// The count that the orchestrator's own API shows as desired. `None` if it keeps no such
    /// record, so that only our calls of [`scale`](Orchestrator::scale) set it.
    pub desired: Option<u32>,
    /// Replicas that take requests.
    pub ready: Vec<Arc<Replica>>,
    /// If `ready` are gateways: how many replicas are behind them. `None`: each of `ready` is one
    /// replica.
    pub behind: Option<u32>,
    /// How many replicas are starting, or wait to be restarted after a failure.
    pub starting: u32,
    /// How many replicas are draining: they take no new requests and stop after their last one.
    pub draining: u32,
    /// The starting replicas, where the orchestrator can tell them apart.
    pub coming: Vec<Transition>,
    /// The draining replicas, where the orchestrator can tell them apart.
    pub leaving: Vec<Transition>,
    /// A condition that may lead to failures later.
    pub warning: Option<String>,
    /// The largest number of replicas that the orchestrator has room for.
    pub capacity: u32,
    /// How long the newest replica took from its start until it was ready.
    pub start_up: Option<Duration>,
    /// Why a replica failed last. `None` if a replica has become ready since.
    pub failure: Option<String>,
    /// The last result of a readiness probe, while a replica is not ready.
    pub not_ready: Option<String>,
    /// Where the model is placed, if it is on a multi-model server.
    pub placement: Option<PlacementStatus>,
    /// Why the model could not be loaded, if it is therefore not served at all.
    pub load_failure: Option<LoadFailure>,
}

/// A failed load of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadFailure {
    /// The number of this failure among consecutive ones, from 1.
    pub number: u32,
    /// Why it failed, in the server's words.
    pub why: Arc<str>,
}

/// What the data plane has counted of a model. Orchestrators with shared room give it to the
/// models that are in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Requests that wait for a replica.
    pub held: u32,
    /// When the model last had a request.
    pub last_used: Nanos,
}

impl ReplicaSet {
    /// How many replicas take requests, those behind gateways included.
    #[must_use]
    pub fn ready_count(&self) -> u32 {
        let listed = || u32::try_from(self.ready.len()).unwrap_or(u32::MAX);
        self.behind.unwrap_or_else(listed)
    }
}

/// The channel on which orchestrators send replica sets to the scaler.
pub type Events = mpsc::UnboundedSender<ReplicaSet>;

/// A missing permission is reported once it has been missing for this long: an API server that
/// has just started answers 403 until it has loaded its roles.
pub(crate) const SETTLING: Duration = Duration::from_secs(5);

/// Why a scale request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScaleError {
    /// It is impossible in the present state. Repeating the request does not help.
    #[error("refused: {0}")]
    Refused(String),
    /// A permission is missing. It is reported only if it lasts for 5 s: the API server may not
    /// have loaded its roles yet.
    #[error("refused: {0}")]
    Forbidden(String),
    /// It failed, and may work later.
    #[error("failed: {0}")]
    Failed(String),
    /// The orchestrator asks us to wait before the next request.
    #[error("failed: {why}; next try in {} s", after.as_secs_f64())]
    Busy {
        /// What the orchestrator answered.
        why: String,
        /// How long to wait before the next request.
        after: Duration,
    },
}

/// Where the count of replicas that a model is asked for comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateSource {
    /// Our own requests: nobody else changes the count.
    Requests,
    /// The orchestrator: it reports [`ReplicaSet::desired`]. An earlier process, or anybody else,
    /// may have set it.
    Orchestrator,
}

/// Starts and stops replicas of models.
#[async_trait]
pub trait Orchestrator: Send + Sync {
    /// Where `model`'s count comes from. With [`StateSource::Orchestrator`], the scaler waits for
    /// the first [`ReplicaSet`] before it asks for a count.
    fn state_source(&self, _model: &Model) -> StateSource {
        StateSource::Requests
    }

    /// Starts to send `model`'s replica sets, without a change to its replicas. Called again when
    /// the model's configuration changes.
    fn follow(&self, _model: &Arc<Model>) {}

    /// Asks for `replicas` replicas of `model`: an absolute count, so that a repeated request
    /// does no harm. Returns once the request is accepted; the replicas follow as
    /// [`ReplicaSet`]s.
    ///
    /// # Errors [`ScaleError`], if the request was not accepted.
    async fn scale(&self, model: &Arc<Model>, replicas: u32) -> Result<(), ScaleError>;

    /// Takes what the data plane has counted of `model`. Called whenever it has changed.
    fn demand(&self, _model: &str, _demand: Demand) {}

    /// Replaces a ready replica that stays unhealthy: it stops, whatever it has in flight, and
    /// another one takes its place. Does nothing if the orchestrator cannot address a single
    /// replica.
    async fn replace(&self, _model: &str, _replica: &Arc<Replica>) {}

    /// Replaces a replica because an operator asks for it: another one is started (before this one
    /// stops, if there is room), and this one gets no more requests, finishes those it has, and
    /// stops.
    ///
    /// # Errors
    /// [`ScaleError`], if the orchestrator cannot address a single replica.
    async fn restart(&self, _model: &str, _replica: &Arc<Replica>) -> Result<(), ScaleError> {
        let why = "Tailback cannot restart a single replica of this server; ask what runs it";
        Err(ScaleError::Refused(why.to_owned()))
    }

    /// Sends the endpoint `authority` of a model's server no more requests, until it is called
    /// again with `false`.
    ///
    /// # Errors
    /// [`ScaleError`], if the orchestrator maintains a count of replicas, and so would replace the
    /// endpoint.
    fn set_drained(
        &self,
        _model: &Arc<Model>,
        _authority: &str,
        _drained: bool,
    ) -> Result<(), ScaleError> {
        let why = "only endpoints of static servers are drained and resumed, as Tailback keeps up the count of \
                   others; restart the replica, or scale the model to fewer for a while";
        Err(ScaleError::Refused(why.to_owned()))
    }

    /// The model is no longer served: no more replica sets are sent for it. Replicas that this
    /// proxy started drain and stop; others stay.
    async fn forget(&self, model: &str);

    /// The proxy stops. Replicas that this proxy has started drain and stop; others stay. Returns
    /// when they have stopped.
    async fn shutdown(&self);
}

//! Orchestrators: what starts and stops replicas.
//!
//! The scaler asks for absolute counts and gets replica sets as they
//! change. [`process`] runs local processes; [`kubernetes`] scales workloads in a
//! cluster; [`webhook`] asks an HTTP API; [`seldon`] triggers Seldon's scheduler;
//! [`static_endpoints`] has addresses from the manifest, which are never scaled.

mod error_chain;
mod gateway;
pub mod kubernetes;
pub mod process;
pub mod seldon;
mod start_up;
pub mod static_endpoints;
pub mod webhook;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tailback_config::Model;
use tokio::sync::mpsc;

use crate::replica::{Draining, Replica};

/// The state of a model's replicas, sent whole whenever it changes.
#[derive(Clone, Debug, Default)]
pub struct ReplicaSet {
    /// Which model.
    pub model: String,
    /// How many are asked for, by the orchestrator's own account; `None` where it
    /// has none but what it is [asked](Orchestrator::scale) for.
    pub desired: Option<u32>,
    /// Those that take traffic.
    pub ready: Vec<Arc<Replica>>,
    /// How many replicas those stand for, where they are gateways; `None`: one each.
    pub behind: Option<u32>,
    /// How many are on their way, or wait to be started again.
    pub starting: u32,
    /// How many finish what they have and go.
    pub draining: u32,
    /// Those of them that are told apart.
    pub leaving: Vec<Draining>,
    /// The most replicas there is room for.
    pub capacity: u32,
    /// How long the last replica took to get ready.
    pub start_up: Option<Duration>,
    /// Why the last replica that failed did so; `None` once one is ready after it.
    pub failure: Option<String>,
    /// What the last probe of a replica that is not ready yet got.
    pub not_ready: Option<String>,
}

impl ReplicaSet {
    /// How many replicas take traffic.
    #[must_use]
    pub fn ready_count(&self) -> u32 {
        let listed = || u32::try_from(self.ready.len()).unwrap_or(u32::MAX);
        self.behind.unwrap_or_else(listed)
    }
}

/// Where orchestrators send what happens.
pub type Events = mpsc::UnboundedSender<ReplicaSet>;

/// An API server that has just started answers 403 until it has read its roles: a
/// missing permission is said once it has been missing for so long.
pub(crate) const SETTLING: Duration = Duration::from_secs(5);

/// Why a scale request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScaleError {
    /// It cannot be done as things are; to ask again will not help.
    #[error("refused: {0}")]
    Refused(String),
    /// We may not. Said only if it lasts: where permissions are kept, they may not
    /// have been read yet.
    #[error("refused: {0}")]
    Forbidden(String),
    /// It may work later.
    #[error("failed: {0}")]
    Failed(String),
    /// It may work once some time has passed.
    #[error("failed: {why}; asked again in {} s", after.as_secs_f64())]
    Busy {
        /// What was in the way.
        why: String,
        /// Not to be asked again before.
        after: Duration,
    },
}

/// What says how many replicas there are, beside our own requests: those that a proxy
/// before us started, or somebody else, may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateSource {
    /// Our requests: there is what we ask for.
    Requests,
    /// The orchestrator: its [`ReplicaSet::desired`], whoever asked for them.
    Orchestrator,
}

/// Starts and stops replicas of models.
#[async_trait]
pub trait Orchestrator: Send + Sync {
    /// Whether its first [`ReplicaSet`] is waited for before anything is asked of it for
    /// `model`.
    fn state_source(&self, _model: &Model) -> StateSource {
        StateSource::Requests
    }

    /// From now on it sends `model`'s replica sets; it changes nothing of its own accord.
    /// Called again when the model's configuration changes.
    fn follow(&self, _model: &Arc<Model>) {}

    /// Asks for `replicas` of `model`. Absolute and idempotent; returns once
    /// the request is taken, not once the replicas are there. What becomes of
    /// them is sent as [`ReplicaSet`]s.
    ///
    /// # Errors
    /// [`ScaleError`], if the request was not taken.
    async fn scale(&self, model: &Arc<Model>, replicas: u32) -> Result<(), ScaleError>;

    /// The model is no longer served: its replicas finish what they have and go,
    /// and nothing more is said of them.
    async fn forget(&self, model: &str);

    /// All replicas finish what they have and go; returns when they are gone.
    async fn shutdown(&self);
}

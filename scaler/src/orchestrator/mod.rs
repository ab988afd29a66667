//! Orchestrators: whoever starts and stops replicas.
//!
//! The scaler asks for absolute counts and hears of replica sets as they
//! change. [`process`] runs local processes; [`fixed`] has addresses that are
//! given and never scaled.

pub mod fixed;
pub mod process;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tailback_config::Model;
use tokio::sync::mpsc;

use crate::replica::Replica;

/// The state of a model's replicas, sent whole whenever it changes.
#[derive(Clone, Debug, Default)]
pub struct ReplicaSet {
    /// Which model.
    pub model: String,
    /// Those that take traffic.
    pub ready: Vec<Arc<Replica>>,
    /// How many are on their way, or wait to be started again.
    pub starting: u32,
    /// How many finish what they have and go.
    pub draining: u32,
    /// The most replicas there is room for.
    pub capacity: u32,
    /// How long the last replica took to get ready.
    pub start_up: Option<Duration>,
    /// Why the last replica that failed did so; `None` once one is ready after it.
    pub failure: Option<String>,
}

/// Where orchestrators send what happens.
pub type Events = mpsc::UnboundedSender<ReplicaSet>;

/// Why a scale request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScaleError {
    /// It cannot be done as things are; to ask again will not help.
    #[error("refused: {0}")]
    Refused(String),
    /// It may work later.
    #[error("failed: {0}")]
    Failed(String),
}

/// Starts and stops replicas of models.
#[async_trait]
pub trait Orchestrator: Send + Sync {
    /// Asks for `replicas` of `model`. Absolute and idempotent; returns once
    /// the request is taken, not once the replicas are there. What becomes of
    /// them is sent as [`ReplicaSet`]s.
    ///
    /// # Errors
    /// [`ScaleError`], if the request was not taken.
    async fn scale(&self, model: &Arc<Model>, replicas: u32) -> Result<(), ScaleError>;

    /// The model is no longer served: its replicas finish what they have and go.
    async fn forget(&self, model: &str);

    /// All replicas finish what they have and go; returns when they are gone.
    async fn shutdown(&self);
}

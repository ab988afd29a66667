//! The commands to the running scaler.

use std::{io, os::unix::net::UnixStream, sync::Arc};

use tailback_config::Model;
use tokio::sync::{oneshot, watch};

use super::order::{ControlResult, ReplicaOrder, ScaleOrder};
use crate::{
    ledger::Ledger,
    manual_count::ManualCount,
    orchestrator::handover::{Inherited, Parcel},
    replica::Traffic,
    status::PauseState,
};

/// A model to scale, and what connects it with the data plane.
#[derive(Clone)]
pub struct ModelHandle {
    /// Its configuration.
    pub model: Arc<Model>,
    /// Its ledger, which must have been made with [`ScalerOptions::wake`](super::ScalerOptions::wake).
    pub ledger: Arc<Ledger>,
    /// What sends requests to its replicas.
    pub traffic: Arc<dyn Traffic>,
}

/// A command for the scaler's loop.
pub(super) enum LoopCommand {
    Configure(Vec<ModelHandle>),
    Pause {
        model: String,
        pause: PauseState,
        answer: oneshot::Sender<ControlResult<()>>,
    },
    /// Hold a model's count for a while, or no longer.
    Scale {
        model: String,
        order: Option<ScaleOrder>,
        answer: oneshot::Sender<ControlResult<Option<ManualCount>>>,
    },
    Replica {
        model: String,
        /// Its name or endpoint.
        replica: String,
        order: ReplicaOrder,
        answer: oneshot::Sender<ControlResult<String>>,
    },
    HandOver,
    /// Begin with the state and the replicas that another process has handed over.
    Inherit {
        inherited: Inherited,
        parcels: Vec<Parcel>,
        answer: oneshot::Sender<io::Result<()>>,
    },
    /// Connect to the process that has handed over.
    Attach {
        predecessor: UnixStream,
        gone: watch::Sender<bool>,
    },
    /// Stop scaling, and park the replicas for a successor.
    HandOut(oneshot::Sender<io::Result<HandedOut>>),
    /// No successor took over: manage the replicas again.
    TakeBack(oneshot::Sender<()>),
    /// A successor manages the replicas now.
    Retire {
        successor: UnixStream,
        gone: watch::Sender<bool>,
    },
    Stop(oneshot::Sender<()>),
}

/// What a process hands over to its successor.
#[derive(Debug)]
pub struct HandedOut {
    /// Desired counts and operators' orders.
    pub inherited: Inherited,
    /// The replicas.
    pub parcels: Vec<Parcel>,
}

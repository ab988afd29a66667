//! The commands of the running scaler.

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
    /// Begin with what another process asked for, and its replicas.
    Inherit {
        inherited: Inherited,
        parcels: Vec<Parcel>,
        answer: oneshot::Sender<io::Result<()>>,
    },
    /// That process can be spoken to.
    Attach {
        predecessor: UnixStream,
        gone: watch::Sender<bool>,
    },
    /// Ask for nothing any more, and let nobody lead the replicas.
    HandOut(oneshot::Sender<io::Result<HandedOut>>),
    /// Go on as before.
    TakeBack(oneshot::Sender<()>),
    /// The process that got them leads.
    Retire {
        successor: UnixStream,
        gone: watch::Sender<bool>,
    },
    Stop(oneshot::Sender<()>),
}

/// What a process hands over to the next one.
#[derive(Debug)]
pub struct HandedOut {
    /// What it asked for.
    pub inherited: Inherited,
    /// Its replicas.
    pub parcels: Vec<Parcel>,
}

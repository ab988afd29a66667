//! What an instance is and how far it has come, and what it and its set tell each other.

use std::{sync::Arc, time::Duration};

use tailback_config::ProcessSpec;
use tokio::{sync::watch, time::Instant};

use crate::{
    orchestrator::process::{
        host::Host, logs::Sink, plan::Phase, port::Port, supervision::Descriptors,
        supervisor::Launch,
    },
    replica::Replica,
    replica_logs::LogWriter,
};

/// Time between the stop signal and SIGKILL, of a replica whose model is not served any more.
const GRACE: Duration = Duration::from_secs(10);

/// A message from an instance to its set.
#[derive(Debug)]
pub(in crate::orchestrator::process) enum Note {
    /// It is not ready; the result of the last probe.
    NotReady(String),
    /// It takes requests now; how long its start took.
    Ready(Duration),
    /// It takes requests again after draining.
    Resumed,
    /// It was asked to stop, which cannot be revoked.
    Ending,
    /// It has failed or ended by itself; why.
    Failed(String),
    /// It has stopped as asked.
    Stopped,
    /// It goes on, and nobody leads it any more.
    Parked(Box<Parked>),
}

/// A message from a set to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::orchestrator::process) enum Ask {
    /// Take no new requests, and stop after the last one.
    Drain,
    /// Take requests again: the instance is needed after all.
    Resume,
    /// Let another one lead it.
    Park,
}

/// What an instance is, whoever leads it.
#[derive(Debug)]
pub(in crate::orchestrator::process) struct Charge {
    pub id: u64,
    pub model: String,
    /// Where its lines go.
    pub log: LogWriter,
    pub host: Arc<Host>,
    pub replica: Arc<Replica>,
    pub port: Port,
    /// The port for gRPC, if the command has a placeholder for it.
    pub grpc_port: Option<Port>,
    /// How it is run. `None`: its model is not served any more.
    pub spec: Option<ProcessSpec>,
    /// How long it may finish its requests, as its set says now; `None`: as long as they take.
    pub drain: watch::Receiver<Option<Duration>>,
}

/// How far an instance has come.
#[derive(Debug)]
pub(in crate::orchestrator::process) enum Stage {
    /// Since when it runs.
    Starting(Instant),
    Ready,
    /// Since when it drains.
    Draining(Instant),
    /// When its time to end is over; why it has to, if it failed.
    Ending(Instant, Option<String>),
}

/// An instance that nobody leads: this process, after it took it up again, or the next one.
#[derive(Debug)]
pub(in crate::orchestrator::process) struct Parked {
    pub charge: Charge,
    pub stage: Stage,
    pub launch: Launch,
    /// The supervisor's id.
    pub supervisor: Option<u32>,
    pub descriptors: Descriptors,
}

// === impl Charge ===

impl Charge {
    /// What becomes of the lines that it prints.
    pub(super) fn sink(&self) -> Sink {
        let ready = self.spec.as_ref().map(|spec| &spec.ready.value);
        Sink::new(self.log.clone(), ready)
    }

    /// How long it may take to end before it is killed.
    pub(super) fn grace(&self) -> Duration {
        self.spec.as_ref().map_or(GRACE, |spec| spec.stop.value)
    }

    pub(super) fn ports(&self) -> Vec<u16> {
        let grpc = self.grpc_port.as_ref();
        let ports = [Some(&self.port), grpc];
        ports.into_iter().flatten().map(Port::number).collect()
    }
}

// === impl Stage ===

impl Stage {
    pub(in crate::orchestrator::process) fn phase(&self) -> Phase {
        match self {
            Self::Starting(_) => Phase::Starting,
            Self::Ready => Phase::Ready,
            Self::Draining(_) => Phase::Draining,
            Self::Ending(..) => Phase::Ending,
        }
    }
}

//! The data of an instance: its context, its stage, and the messages between it and its set.

use std::{sync::Arc, time::Duration};

use tailback_config::ProcessSpec;
use tokio::{sync::watch, time::Instant};

use crate::{
    orchestrator::process::{
        host::Host, logs::Sink, plan::InstancePhase, port::Port, supervision::Descriptors,
        supervisor::Launch,
    },
    replica::Replica,
    replica_logs::LogWriter,
};

/// The time between the stop signal and SIGKILL for a replica whose model is no longer served. For
/// others it is the server's `stopSeconds`.
const GRACE: Duration = Duration::from_secs(10);

/// A message from an instance to its set.
#[derive(Debug)]
pub(in crate::orchestrator::process) enum InstanceEvent {
    /// It is not ready yet. With the result of the last probe.
    NotReady(String),
    /// It takes requests now. With the time that its start took.
    Ready(Duration),
    /// It takes requests again after draining.
    Resumed,
    /// It got its stop signal, which cannot be undone.
    Ending,
    /// It has failed, or ended without being asked to. With the reason.
    Failed(String),
    /// It has stopped as asked.
    Stopped,
    /// Its process runs on, and no task manages it any more.
    Parked(Box<Parked>),
}

/// A message from a set to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::orchestrator::process) enum Directive {
    /// Take no new requests, and stop after the last one.
    Drain,
    /// Take requests again: the instance is needed after all.
    Resume,
    /// Hand the process over to whatever resumes it, in this process or in its successor.
    Park,
}

/// The data that an instance has in every stage.
#[derive(Debug)]
pub(in crate::orchestrator::process) struct InstanceContext {
    pub id: u64,
    pub model: String,
    /// Where its output lines go.
    pub log: LogWriter,
    pub host: Arc<Host>,
    pub replica: Arc<Replica>,
    pub port: Port,
    /// The port for gRPC, if the command has a placeholder for it.
    pub grpc_port: Option<Port>,
    /// How it is run. `None`: its model is no longer served.
    pub spec: Option<ProcessSpec>,
    /// The longest time for draining; the set updates it. `None`: as long as requests take.
    pub drain: watch::Receiver<Option<Duration>>,
}

/// The stage of an instance's life.
#[derive(Debug)]
pub(in crate::orchestrator::process) enum Stage {
    /// With the time of its start.
    Starting(Instant),
    Ready,
    /// With the time at which it began to drain.
    Draining(Instant),
    /// With the time of its SIGKILL and, if it failed, the reason.
    Ending(Instant, Option<String>),
}

/// An instance that no task manages. This process or its successor may [resume](super::resume) it.
#[derive(Debug)]
pub(in crate::orchestrator::process) struct Parked {
    pub context: InstanceContext,
    pub stage: Stage,
    pub launch: Launch,
    /// The supervisor's process id.
    pub supervisor: Option<u32>,
    pub descriptors: Descriptors,
}

// === impl InstanceContext ===

impl InstanceContext {
    /// Receives its output lines: for the log, and for the readiness line if there is one.
    pub(super) fn sink(&self) -> Sink {
        let ready = self.spec.as_ref().map(|spec| &spec.ready.value);
        Sink::new(self.log.clone(), ready)
    }

    /// The time between its stop signal and SIGKILL.
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
    pub(in crate::orchestrator::process) fn phase(&self) -> InstancePhase {
        match self {
            Self::Starting(_) => InstancePhase::Starting,
            Self::Ready => InstancePhase::Ready,
            Self::Draining(_) => InstancePhase::Draining,
            Self::Ending(..) => InstancePhase::Ending,
        }
    }
}

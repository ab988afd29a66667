//! What a proxy tells the one that takes over from it of its replicas: a line of JSON each, and
//! the descriptors by which a replica is owned. Versions of the program read each other's lines:
//! fields are added, with defaults, and never change.

use std::{io, os::fd::OwnedFd, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    description::Description,
    host::Host,
    instance::{Charge, Parked, Stage},
    port::Port,
    set::{ParkedInstance, ParkedSet},
    supervision::Descriptors,
    supervisor::Launch,
};
use crate::{orchestrator::handover::Parcel, replica::Replica};

/// A model's replicas, but for the replicas themselves.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SetLine {
    pub model: String,
    pub next_id: u64,
    pub start_up: Option<Duration>,
    pub failure: Option<String>,
}

/// One replica.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReplicaLine {
    pub model: String,
    id: u64,
    port: u16,
    grpc_port: Option<u16>,
    /// Requests of the process that hands over.
    in_flight: u32,
    stage: StageLine,
    /// For how long it has been ready.
    ready_for: Option<Duration>,
    drain: Option<Duration>,
    runs: Description,
    launch: Launch,
    supervisor: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum StageLine {
    /// For how long.
    Starting(Duration),
    Ready,
    /// For how long.
    Draining(Duration),
    /// How much longer at most, and why, if it failed.
    Ending(Duration, Option<String>),
}

impl ParkedSet {
    /// Puts together what is handed over of it; it stays as it is.
    ///
    /// # Errors
    /// If the system does not give the descriptors out.
    pub(super) fn parcels(&self, model: &str) -> io::Result<Vec<Parcel>> {
        let line = SetLine {
            model: model.to_owned(),
            next_id: self.next_id,
            start_up: self.start_up,
            failure: self.failure.clone(),
        };
        let mut parcels = vec![Parcel::of(&line, Vec::new())?];
        for instance in &self.instances {
            let Descriptors {
                link,
                output,
                errors,
            } = &instance.parked.descriptors;
            let descriptors = [link, output, errors].map(OwnedFd::try_clone);
            let descriptors: io::Result<Vec<_>> = descriptors.into_iter().collect();
            let line = ReplicaLine::new(model, instance);
            parcels.push(Parcel::of(&line, descriptors?)?);
        }
        Ok(parcels)
    }
}

impl ReplicaLine {
    fn new(model: &str, instance: &ParkedInstance) -> Self {
        let Parked {
            charge,
            stage,
            launch,
            supervisor,
            ..
        } = &instance.parked;
        Self {
            model: model.to_owned(),
            id: charge.id,
            port: charge.port.number(),
            grpc_port: charge.grpc_port.as_ref().map(Port::number),
            in_flight: charge.replica.in_flight(),
            stage: match stage {
                Stage::Starting(since) => StageLine::Starting(since.elapsed()),
                Stage::Ready => StageLine::Ready,
                Stage::Draining(since) => StageLine::Draining(since.elapsed()),
                Stage::Ending(until, why) => {
                    let left = until.saturating_duration_since(Instant::now());
                    StageLine::Ending(left, why.clone())
                }
            },
            ready_for: instance.ready_since.map(|since| since.elapsed()),
            drain: charge.drain,
            runs: instance.runs.clone(),
            launch: launch.clone(),
            supervisor: *supervisor,
        }
    }

    /// The instance, in this process.
    ///
    /// # Errors
    /// If `descriptors` are not those of a replica.
    pub(super) fn open(
        self,
        host: &Arc<Host>,
        descriptors: Vec<OwnedFd>,
    ) -> io::Result<ParkedInstance> {
        let Ok([link, output, errors]) = <[OwnedFd; 3]>::try_from(descriptors) else {
            return Err(io::Error::other(format!(
                "the descriptors of replica {} are missing",
                self.launch.replica
            )));
        };
        let local = |port: u16| format!("127.0.0.1:{port}");
        let replica = Replica::new(self.launch.replica.clone(), local(self.port), None)
            .with_grpc(self.grpc_port.map(local));
        replica.set_elsewhere(self.in_flight, true);
        let ago = |time| {
            Instant::now()
                .checked_sub(time)
                .unwrap_or_else(Instant::now)
        };
        let stage = match self.stage {
            StageLine::Starting(time) => Stage::Starting(ago(time)),
            StageLine::Ready => Stage::Ready,
            StageLine::Draining(time) => Stage::Draining(ago(time)),
            StageLine::Ending(left, why) => Stage::Ending(Instant::now() + left, why),
        };
        if matches!(stage, Stage::Draining(_) | Stage::Ending(..)) {
            replica.close();
        }
        Ok(ParkedInstance {
            parked: Parked {
                charge: Charge {
                    id: self.id,
                    host: host.clone(),
                    replica: Arc::new(replica),
                    port: Port::of(self.port),
                    grpc_port: self.grpc_port.map(Port::of),
                    spec: None,
                    drain: self.drain,
                },
                stage,
                launch: self.launch,
                supervisor: self.supervisor,
                descriptors: Descriptors {
                    link,
                    output,
                    errors,
                },
            },
            runs: self.runs,
            ready_since: self.ready_for.map(ago),
        })
    }
}

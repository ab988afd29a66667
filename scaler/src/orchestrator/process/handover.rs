//! The wire format in which a proxy hands its replicas over to its successor: one line of JSON for
//! each, with the file descriptors that own the replica. Different versions of the program read each
//! other's lines, so fields are only added, with defaults, and never change.

use std::{io, os::fd::OwnedFd, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::Instant};

use super::{
    description::Description,
    host::Host,
    instance::{InstanceContext, Parked, Stage},
    logs::PausedOutput,
    port::Port,
    set::{ParkedInstance, ParkedSet},
    supervision::Descriptors,
    supervisor::Launch,
};
use crate::{
    orchestrator::handover::Parcel,
    replica::Replica,
    replica_logs::{ReplicaLog, ReplicaLogs},
};

/// A model's set, without its replicas.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SetLine {
    pub model: String,
    pub next_id: u64,
    pub start_up: Option<Duration>,
    pub failure: Option<String>,
    /// The last lines that its replicas printed.
    #[serde(default)]
    pub logs: Vec<ReplicaLog>,
}

/// One replica.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HandoverReplica {
    pub model: String,
    id: u64,
    port: u16,
    grpc_port: Option<u16>,
    /// Requests in flight from the predecessor.
    in_flight: u32,
    stage: StageLine,
    /// How long it has been ready.
    ready_for: Option<Duration>,
    /// How long it took to become ready.
    #[serde(default)]
    start_up: Option<Duration>,
    drain: Option<Duration>,
    runs: Description,
    launch: Launch,
    supervisor: Option<u32>,
    /// Whether an operator has asked for its replacement.
    #[serde(default)]
    restarting: bool,
    /// Whether it is being replaced because it stays unhealthy.
    #[serde(default)]
    condemned: bool,
    /// The beginnings of lines whose ends have not been read.
    #[serde(default)]
    begun: BegunLines,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct BegunLines {
    output: Vec<u8>,
    errors: Vec<u8>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum StageLine {
    /// For this long.
    Starting(Duration),
    Ready,
    /// For this long.
    Draining(Duration),
    /// For at most this much longer; with the reason, if it has failed.
    Ending(Duration, Option<String>),
}

impl ParkedSet {
    /// The parcels of the set and of its instances. The set stays parked.
    ///
    /// # Errors
    /// If a descriptor cannot be duplicated.
    pub(super) fn parcels(&self, model: &str, logs: &ReplicaLogs) -> io::Result<Vec<Parcel>> {
        let line = SetLine {
            model: model.to_owned(),
            next_id: self.next_id,
            start_up: self.start_up,
            failure: self.failure.clone(),
            logs: logs.of_model(model),
        };
        let mut parcels = vec![Parcel::of(&line, Vec::new())?];
        for instance in &self.instances {
            let Descriptors {
                link,
                output,
                errors,
            } = &instance.parked.descriptors;
            let descriptors = [link, &output.pipe, &errors.pipe].map(OwnedFd::try_clone);
            let descriptors: io::Result<Vec<_>> = descriptors.into_iter().collect();
            let line = HandoverReplica::new(model, instance);
            parcels.push(Parcel::of(&line, descriptors?)?);
        }
        Ok(parcels)
    }
}

impl HandoverReplica {
    fn new(model: &str, instance: &ParkedInstance) -> Self {
        let Parked {
            context,
            stage,
            launch,
            supervisor,
            descriptors,
        } = &instance.parked;
        Self {
            model: model.to_owned(),
            id: context.id,
            port: context.port.number(),
            grpc_port: context.grpc_port.as_ref().map(Port::number),
            in_flight: context.replica.in_flight(),
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
            start_up: context.replica.health().start_up(),
            drain: *context.drain.borrow(),
            runs: instance.runs.clone(),
            launch: launch.clone(),
            supervisor: *supervisor,
            restarting: context.replica.is_restarting(),
            condemned: context.replica.health().is_condemned(),
            begun: BegunLines {
                output: descriptors.output.begun.clone(),
                errors: descriptors.errors.begun.clone(),
            },
        }
    }

    /// Makes the instance in this process, parked.
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
            .with_grpc(self.grpc_port.map(local))
            .on(self.runs.devices());
        replica.set_elsewhere(self.in_flight, true);
        if self.restarting {
            replica.mark_restarting();
        }
        if self.condemned {
            replica.health().condemn();
        }
        if let Some(took) = self.start_up {
            replica.health().set_start_up(took);
        }
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
                context: InstanceContext {
                    id: self.id,
                    log: host.logs.writer(&self.model, replica.name()),
                    model: self.model,
                    host: host.clone(),
                    replica: Arc::new(replica),
                    port: Port::of(self.port),
                    grpc_port: self.grpc_port.map(Port::of),
                    spec: None,
                    drain: watch::Sender::new(self.drain).subscribe(),
                },
                stage,
                launch: self.launch,
                supervisor: self.supervisor,
                descriptors: Descriptors {
                    link,
                    output: PausedOutput {
                        pipe: output,
                        begun: self.begun.output,
                    },
                    errors: PausedOutput {
                        pipe: errors,
                        begun: self.begun.errors,
                    },
                },
            },
            runs: self.runs,
            ready_since: self.ready_for.map(ago),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Lines as an earlier version of this program has written them.
    const SET: &str = r#"{"model":"m","nextId":4,"startUp":{"secs":2,"nanos":5},"failure":null,
        "logs":[{"replica":"m-3","lines":[{"number":7,"time":1.5,"stream":"stderr","text":"up"}],
        "ended":null,"bytes":2}]}"#;
    const REPLICA: &str = r#"{"model":"m","id":3,"port":8123,"grpcPort":null,"inFlight":2,
        "stage":{"draining":{"secs":1,"nanos":0}},"readyFor":{"secs":9,"nanos":0},"drain":null,
        "runs":{"version":1,"command":["x"]},
        "launch":{"role":"Outer","replica":"m-3","command":["x"],"cgroup":null,"mark":["a","b"],
        "stop_signal":"SIGTERM","stop_command":["y"],"user":null,"nice":null,"open_files":null},"supervisor":77,
        "restarting":true,"condemned":true,"startUp":{"secs":7,"nanos":0},"begun":{"output":[117,112],"errors":[]}}"#;

    /// `line`, read and written by this version.
    fn through<T: Serialize + serde::de::DeserializeOwned>(line: &str) -> Value {
        let read: T = serde_json::from_str(line).unwrap();
        serde_json::to_value(read).unwrap()
    }

    #[test]
    fn the_lines_of_earlier_versions_are_read_and_written_as_they_were() {
        let value = |line| serde_json::from_str::<Value>(line).unwrap();
        assert_eq!(through::<SetLine>(SET), value(SET));
        assert_eq!(through::<HandoverReplica>(REPLICA), value(REPLICA));
        for stage in [
            r#""ready""#,
            r#"{"starting":{"secs":1,"nanos":0}}"#,
            r#"{"ending":[{"secs":1,"nanos":0},"why"]}"#,
        ] {
            assert_eq!(through::<StageLine>(stage), value(stage));
        }
    }

    #[test]
    fn fields_of_later_versions_are_passed_over_and_those_that_came_later_have_defaults() {
        let more = SET.replacen('{', r#"{"later":[1],"#, 1);
        assert_eq!(through::<SetLine>(&more), through::<SetLine>(SET));
        let more = REPLICA.replacen('{', r#"{"later":[1],"#, 1);
        assert_eq!(
            through::<HandoverReplica>(&more),
            through::<HandoverReplica>(REPLICA)
        );
        let first = REPLICA.replacen(r#""stop_command":["y"],"#, "", 1);
        let first = first.replacen(r#""restarting":true,"condemned":true,"#, "", 1);
        let first = first.replacen(r#""startUp":{"secs":7,"nanos":0},"#, "", 1);
        let first = first.replacen(r#""begun""#, r#""later""#, 1);
        assert_eq!(
            through::<HandoverReplica>(&first)["begun"]["output"],
            serde_json::json!([])
        );
        let replica = through::<HandoverReplica>(&first);
        assert_eq!(
            (&replica["restarting"], &replica["condemned"]),
            (&false.into(), &false.into())
        );
        assert_eq!(replica["startUp"], Value::Null);
        let launch = &replica["launch"];
        assert_eq!(launch["stop_command"], serde_json::json!([]));
        let first = r#"{"model":"m","nextId":4,"startUp":null,"failure":null}"#;
        assert_eq!(through::<SetLine>(first)["logs"], serde_json::json!([]));
    }
}

//! Readiness: waits from the start of a process until it may take requests.

use std::time::Duration;

use nix::unistd::Pid;
use tailback_config::{Listener, ProcessSpec, Readiness};
use tokio::time::{Instant, sleep};

use super::{listener, logs::Sink, warm_up::warm_up};
use crate::{
    orchestrator::probe::{NotReady, PATIENCE, Target, probe},
    replica::Replica,
};

/// A replica that is starting, and what its readiness check needs.
#[derive(Clone, Copy)]
pub(super) struct StartingReplica<'a> {
    pub replica: &'a Replica,
    pub model: &'a str,
    pub spec: &'a ProcessSpec,
    pub ports: &'a [u16],
    pub supervisor: Option<Pid>,
    pub sink: &'a Sink,
    pub started: Instant,
}

/// The pause between probes of a replica that started at `started`. Short at first, because the
/// time to notice readiness adds to every cold start.
fn pause(started: Duration) -> Duration {
    (started / 20).clamp(Duration::from_millis(10), Duration::from_millis(500))
}

/// Returns once the replica may take requests.
///
/// Each new reason why it is not ready yet is passed to `tell` and kept in `last`.
///
/// # Errors
/// A sentence that says why it will never be ready.
pub(super) async fn until_ready(
    subject: StartingReplica<'_>,
    last: &mut Option<String>,
    tell: impl Fn(String),
) -> Result<(), String> {
    let StartingReplica { replica, spec, .. } = subject;
    let target = Target::of(replica);
    let mut tell = |why: String| {
        if last.as_ref() != Some(&why) {
            tracing::debug!(%replica, why, "not ready yet");
            tell(format!("{} is not ready yet: {why}", replica.name()));
            *last = Some(why);
        }
    };
    if let Readiness::Line(pattern) = &spec.ready.value {
        tell(format!(
            "it has not printed a line that matches {}",
            pattern.as_str()
        ));
        subject.sink.fitting_line().await;
    }
    let mut owned = false;
    loop {
        let probed = probe(target, &spec.ready, PATIENCE).await;
        if !matches!(probed, Err(NotReady::NoConnection { .. })) && !owned {
            // If another process has the port, the replica can never listen there.
            check_ports(subject).await?;
            owned = true;
        }
        let Err(why) = probed else {
            return warm_up(replica.authority(), subject.model, &spec.warm_up, &mut tell).await;
        };
        tell(why.to_string());
        sleep(pause(subject.started.elapsed())).await;
    }
}

/// Fails if another process listens on a port of the replica.
async fn check_ports(subject: StartingReplica<'_>) -> Result<(), String> {
    let own = subject.spec.listener == Listener::Replica;
    let Some(supervisor) = subject.supervisor.filter(|_| own) else {
        return Ok(());
    };
    let ports = subject.ports.to_vec();
    let check = move || {
        let mut ports = ports.into_iter();
        ports.try_for_each(|port| listener::check(port, supervisor))
    };
    tokio::task::spawn_blocking(check).await.unwrap_or(Ok(()))
}

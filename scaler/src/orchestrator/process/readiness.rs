//! From the start of a process until it may take requests.

use nix::unistd::Pid;
use tailback_config::{Listener, ProcessSpec};
use tokio::time::{Instant, sleep};

use super::{listener, probe};
use crate::replica::Replica;

/// Returns once `replica` may take requests, or why it never will. What a probe got is told,
/// and is in `last`.
pub(super) async fn until_ready(
    replica: &Replica,
    spec: &ProcessSpec,
    ports: &[u16],
    supervisor: Option<Pid>,
    started: Instant,
    last: &mut Option<String>,
    tell: impl Fn(String),
) -> Result<(), String> {
    let mut owned = false;
    loop {
        let probed = probe::probe(replica.authority(), &spec.ready).await;
        let connected = probed
            .as_ref()
            .err()
            .is_none_or(|why| !why.starts_with(probe::NO_CONNECTION));
        if connected && !owned {
            // Whoever else has the port keeps the replica from it for good.
            check_ports(spec, ports, supervisor).await?;
            owned = true;
        }
        let Err(why) = probed else {
            return Ok(());
        };
        if last.as_ref() != Some(&why) {
            tracing::debug!(%replica, why, "not ready yet");
            tell(format!("{} is not ready yet: {why}", replica.name()));
            *last = Some(why);
        }
        sleep(probe::pause(started.elapsed())).await;
    }
}

/// Whether somebody else listens where the replica is to.
async fn check_ports(
    spec: &ProcessSpec,
    ports: &[u16],
    supervisor: Option<Pid>,
) -> Result<(), String> {
    let Some(supervisor) = supervisor.filter(|_| spec.listener == Listener::Replica) else {
        return Ok(());
    };
    let ports = ports.to_vec();
    let check = move || {
        let mut ports = ports.into_iter();
        ports.try_for_each(|port| listener::check(port, supervisor))
    };
    tokio::task::spawn_blocking(check).await.unwrap_or(Ok(()))
}

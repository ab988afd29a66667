//! The limits that the system sets: connections, by the limit on open files, and memory.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tailback_config::Limits;

use crate::overload::{self, Overload};

/// Open files besides connections: listeners, logs, pipes of replicas.
const OTHERS: u64 = 256;
/// A caller's connection may need a second one to a replica.
const PER_CONNECTION: u64 = 2;

/// The most connections at once: the configured number, or as many as the limit on open files
/// allows. The soft limit is raised to the hard one first.
pub(super) fn connections(limits: &Limits) -> Result<usize> {
    let (_, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit on open files")?;
    // Best effort: macOS, for one, allows less than its hard limit says.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    let (files, _) =
        getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit on open files")?;
    let fit = usize::try_from(files.saturating_sub(OTHERS) / PER_CONNECTION).unwrap_or(usize::MAX);
    match limits.connections {
        Some(wanted) if wanted > fit => bail!(
            "environment TAILBACK_MAX_CONNECTIONS: found {wanted}, but the limit of {files} open files \
             allows {fit}; raise it (ulimit -n) or set less"
        ),
        Some(wanted) => Ok(wanted),
        None if fit == 0 => {
            bail!("the limit of {files} open files is too low; raise it (ulimit -n)")
        }
        None => Ok(fit),
    }
}

/// Bodies of waiting requests get at most the memory of the process divided by this.
const BODIES: u64 = 4;

/// Starts the overload manager, if there is a memory limit. Returns it, and how many bytes the
/// bodies of waiting requests may use.
pub(super) fn memory(limits: &Limits) -> Result<(Arc<Overload>, usize)> {
    let Some(limit) = limits.memory.limit() else {
        return Ok((Arc::default(), limits.held_bytes));
    };
    let bodies = usize::try_from(limit.bytes / BODIES).unwrap_or(usize::MAX);
    let bodies = bodies.min(limits.held_bytes);
    tracing::info!(waiting_bodies = bodies, "the limit of memory is {limit}");
    let overload = overload::start(&limit)
        .context("environment TAILBACK_MEMORY_MAX: memory cannot be watched; set it to none")?;
    Ok((overload, bodies))
}

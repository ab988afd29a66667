//! What all process replicas of this machine share: supervisors, control groups, logs and meters.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::{
    process::{Child, Command},
    sync::watch,
};

use super::{
    cgroup::{Cgroup, Cgroups},
    leftovers::{Children, Owner, sweep},
    supervisor::Launch,
    usage::Meters,
};
use crate::replica_logs::ReplicaLogs;

/// Starts supervisors, each with a control group if possible.
#[derive(Debug)]
pub(super) struct Host {
    /// The program of supervisors: the proxy's own binary.
    tailback: PathBuf,
    owner: Option<Owner>,
    /// The lines that replicas print.
    pub logs: ReplicaLogs,
    /// Measures their CPU time and memory.
    pub meters: Meters,
    children: Arc<Children>,
    /// Set when the first replica starts. `None`: control groups cannot be created here.
    cgroups: OnceLock<Option<Cgroups>>,
    next: AtomicU64,
    shutdown: watch::Sender<bool>,
    /// Whether the predecessor still has requests.
    predecessor: AtomicBool,
}

impl Host {
    /// A host whose supervisors run the program `tailback`. Needs a tokio runtime around it.
    pub(super) fn new(tailback: PathBuf, logs: ReplicaLogs) -> Self {
        let owner = Owner::this();
        Self {
            tailback,
            owner,
            logs,
            meters: Meters::default(),
            children: Children::adopt(owner),
            cgroups: OnceLock::new(),
            next: AtomicU64::new(0),
            shutdown: watch::Sender::new(false),
            predecessor: AtomicBool::new(false),
        }
    }

    /// The number of the next control group. Each number is used once, across upgrades.
    pub(super) fn next_group(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// A predecessor has handed over; it has used the group numbers below `next_group`.
    pub(super) fn take_over(&self, next_group: u64) {
        self.next.fetch_max(next_group, Ordering::Relaxed);
        self.predecessor.store(true, Ordering::Relaxed);
    }

    /// The predecessor has ended.
    pub(super) fn predecessor_gone(&self) {
        self.predecessor.store(false, Ordering::Relaxed);
    }

    /// Whether the predecessor still sends requests to the replicas.
    pub(super) fn has_predecessor(&self) -> bool {
        self.predecessor.load(Ordering::Relaxed)
    }

    /// From now on, replicas stop without waiting for their requests.
    pub(super) fn shut_down(&self) {
        self.shutdown.send_replace(true);
    }

    /// Returns once [`shut_down`](Self::shut_down) was called.
    pub(super) async fn shutting_down(&self) {
        // Cannot fail, as `self` has the sender.
        let _ = self.shutdown.subscribe().wait_for(|down| *down).await;
    }

    /// The command of a supervisor for `launch`, to be started by [`spawn`](Self::spawn). Adds
    /// control group and mark to `launch`.
    ///
    /// # Errors
    /// A sentence that says why the memory cannot be limited to `memory` bytes.
    pub(super) fn supervisor(
        &self,
        launch: &mut Launch,
        memory: Option<u64>,
    ) -> Result<Command, String> {
        launch.mark = self.owner.map(Owner::mark);
        let group = match memory {
            Some(bytes) => Some(self.limited_cgroup(bytes)?),
            None => self.cgroup(),
        };
        launch.cgroup = group.map(|group| group.folder().to_owned());
        Ok(launch.supervisor(&self.tailback).into())
    }

    /// A new control group, limited to `bytes` of memory.
    fn limited_cgroup(&self, bytes: u64) -> Result<Cgroup, String> {
        let why = "cannot set limits.memory";
        let (Some(cgroups), Some(name)) = (self.cgroups(), self.next_name()) else {
            return Err(format!(
                "{why}: Tailback can make no control groups (cgroup v2) here; run it as root or as a systemd unit with \
                 Delegate=yes, or remove limits.memory from the manifest"
            ));
        };
        let created = cgroups.create_limited(&name, bytes);
        created.map_err(|error| format!("{why}: {error}; or remove it from the manifest"))
    }

    /// A new control group. `None`: groups cannot be created here.
    fn cgroup(&self) -> Option<Cgroup> {
        match self.cgroups()?.create(&self.next_name()?) {
            Ok(group) => Some(group),
            Err(error) => {
                tracing::warn!(%error, "cannot create a control group; the replica runs without one");
                None
            }
        }
    }

    /// The name of the next group.
    fn next_name(&self) -> Option<String> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Some(format!("{}.{number}", self.owner?))
    }

    /// The control groups of this machine. The first call finds them, and kills processes that
    /// earlier proxies have left in them.
    fn cgroups(&self) -> Option<&Cgroups> {
        let cgroups = self.cgroups.get_or_init(|| {
            let cgroups = Cgroups::find();
            sweep(cgroups.as_ref());
            let kept = match &cgroups {
                Some(_) => "a control group (cgroup v2) of its own",
                None => "its supervisors only: no cgroup v2 is writable here",
            };
            tracing::info!("each replica's processes are kept together by {kept}");
            cgroups
        });
        cgroups.as_ref()
    }

    /// Starts a supervisor. Call [`ended`](Self::ended) after waiting for it.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        self.children.spawn(command)
    }

    /// Cleans up after the supervisor `id` of `launch` has ended. Returns when no process of the
    /// replica is left.
    pub(super) async fn ended(&self, id: Option<u32>, launch: &Launch, orderly: bool) {
        self.children.ended(id);
        if orderly {
            return;
        }
        let group = launch.cgroup.clone().map(Cgroup::at);
        if let Some(group) = &group {
            group.kill();
        }
        self.children.settle().await;
        if let Some(group) = group {
            // On a blocking thread, as it may wait for processes to end.
            let _ = tokio::task::spawn_blocking(move || group.remove()).await;
        }
    }
}

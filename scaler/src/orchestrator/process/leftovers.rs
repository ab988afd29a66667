//! Ends processes that outlived their supervisors because those were killed.
//!
//! Each command has a [mark](Owner::mark) in its environment, which its descendants inherit. The
//! proxy is a child subreaper: a process that loses its supervisors becomes the proxy's child,
//! which kills and reaps it. If the proxy was killed too, the next proxy on this host kills it.

use std::{
    collections::{BTreeSet, HashMap},
    fmt, fs, io,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    time::sleep,
};

use super::{
    cgroup::Cgroups,
    process_tree::{self, Process},
    supervisor::NAME,
};

/// The variable that marks a replica's processes. It does not begin with `TAILBACK_`, because a
/// replica may be a Tailback too, which refuses unknown variables with that prefix.
const MARK: &str = "_TAILBACK_REPLICA_OF";
/// The variable that tells a successor which proxy's mark its replicas have: that of the first
/// proxy in the chain of upgrades.
pub const LINEAGE: &str = "_TAILBACK_TAKE_OVER";
/// A zombie child counts as abandoned after this time: the proxy waits for its own children
/// sooner.
const ABANDONED: Duration = Duration::from_secs(5);
/// Time between passes that kill.
const PASS: Duration = Duration::from_millis(10);
/// How long a new proxy waits until processes that an earlier one left behind have ended.
const SWEEP: Duration = Duration::from_secs(2);
/// How long the end of a replica waits until processes that its supervisors left behind have
/// ended.
const SETTLE: Duration = Duration::from_secs(10);

/// Identifies a proxy, together with those that took over from it by upgrades, among all that ever
/// ran on this host since it booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// The pid namespace in which its id is valid.
    namespace: u64,
    pid: i32,
    started: u64,
}

/// The proxy's children: supervisors, for which the replicas' tasks wait, and orphans that became
/// its children.
#[derive(Debug)]
pub(super) struct Children {
    supervisors: Mutex<Vec<i32>>,
    /// The proxy whose mark the processes have that are killed when they become orphans.
    owner: Option<Owner>,
    /// Our session, if every orphan of another session must be a replica's process, because its
    /// inner supervisor has made a session. `None` for the first process of a container, which
    /// gets all orphans, and if this process has replaced one that had children.
    session: Option<Pid>,
    /// Zombies that no task waits for, and when each was first seen.
    abandoned: Mutex<HashMap<i32, Instant>>,
}

// === impl Owner ===

impl Owner {
    /// This process, or the first process in its chain of upgrades; `None` without `/proc`.
    pub(super) fn this() -> Option<Self> {
        let lineage = std::env::var(LINEAGE).ok();
        lineage
            .and_then(|lineage| Self::parse(&lineage))
            .or_else(Self::process)
    }

    /// This process alone.
    pub(super) fn process() -> Option<Self> {
        let own = process_tree::one(Pid::this())?;
        Some(Self {
            namespace: namespace()?,
            pid: own.pid.as_raw(),
            started: own.started,
        })
    }

    /// The marking variable for the commands that this owner starts.
    pub(super) fn mark(self) -> (String, String) {
        (MARK.into(), self.to_string())
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let owner = Self {
            namespace: parts.next()?.parse().ok()?,
            pid: parts.next()?.parse().ok()?,
            started: parts.next()?.parse().ok()?,
        };
        Some(owner)
    }

    /// Its process id, if it runs in this pid namespace.
    pub(super) fn pid(self) -> Option<Pid> {
        let here = namespace() == Some(self.namespace);
        let process = process_tree::one(Pid::from_raw(self.pid)).filter(|_| here)?;
        (process.started == self.started && !process.zombie).then_some(process.pid)
    }

    /// Whether it is known to have ended, including its successors. Nothing is known of a proxy in
    /// another pid namespace.
    fn has_ended(self) -> bool {
        namespace() == Some(self.namespace)
            && self.pid().is_none()
            && !process_tree::all().iter().any(|other| {
                !other.zombie && Self::in_environment(other.pid, LINEAGE) == Some(self)
            })
    }

    /// The owner of whose replicas `process` is one.
    fn of(process: Pid) -> Option<Self> {
        Self::in_environment(process, MARK)
    }

    /// The owner that a variable of the environment of `process` names.
    fn in_environment(process: Pid, variable: &str) -> Option<Self> {
        let environment = fs::read(format!("/proc/{process}/environ")).ok()?;
        let value = environment
            .split(|&byte| byte == 0)
            .find_map(|pair| pair.strip_prefix(variable.as_bytes())?.strip_prefix(b"="))?;
        Self::parse(std::str::from_utf8(value).ok()?)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.namespace, self.pid, self.started)
    }
}

/// The number of this process's pid namespace: `pid:[4026531836]`.
fn namespace() -> Option<u64> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    let text = link.to_str()?;
    text.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
}

/// Kills processes that ended proxies left behind on this host, as far as permitted, and logs how
/// many.
pub(super) fn sweep(cgroups: Option<&Cgroups>) {
    for (name, group) in cgroups.map(Cgroups::list).unwrap_or_default() {
        if Owner::parse(&name).is_some_and(Owner::has_ended) {
            group.kill();
            group.remove();
        }
    }
    let begun = Instant::now();
    let mut killed = BTreeSet::new();
    loop {
        let left = process_tree::all().into_iter().filter(|process| {
            !process.zombie && Owner::of(process.pid).is_some_and(Owner::has_ended)
        });
        let left: Vec<_> = left
            .filter(|process| kill(process.pid, Signal::SIGKILL).is_ok())
            .map(|process| process.pid)
            .collect();
        killed.extend(left.iter().copied());
        if left.is_empty() || begun.elapsed() > SWEEP {
            break;
        }
        std::thread::sleep(PASS);
    }
    if !killed.is_empty() {
        tracing::warn!(
            processes = killed.len(),
            "killed processes of replicas that an earlier proxy, which was killed, left behind"
        );
    }
}

// === impl Children ===

impl Children {
    /// Makes this process the parent of descendants that lose theirs, and reaps them. Needs a
    /// tokio runtime around it.
    pub(super) fn adopt(owner: Option<Owner>) -> Arc<Self> {
        #[cfg(target_os = "linux")]
        if let Err(error) = nix::sys::prctl::set_child_subreaper(true) {
            tracing::warn!(%error, "cannot become the parent of replicas' orphaned processes (PR_SET_CHILD_SUBREAPER): they may outlive their replica");
        }
        let this = Pid::this();
        let had_children = process_tree::all().iter().any(|other| other.parent == this);
        let alone = this != Pid::from_raw(1) && !had_children;
        let children = Arc::new(Self {
            supervisors: Mutex::default(),
            owner,
            session: process_tree::one(this)
                .filter(|_| alone)
                .map(|own| own.session),
            abandoned: Mutex::default(),
        });
        match signal(SignalKind::child()) {
            Ok(mut ended) => {
                let reaper = children.clone();
                tokio::spawn(async move {
                    loop {
                        // Several ends may come as one signal, and one may come during a pass.
                        if reaper.pass() {
                            sleep(PASS).await;
                        } else if lock(&reaper.abandoned).is_empty() {
                            ended.recv().await;
                        } else {
                            sleep(ABANDONED).await;
                        }
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot listen for SIGCHLD: ended orphans of replicas stay as zombies")
            }
        }
        children
    }

    /// Starts a supervisor. Call [`ended`](Self::ended) after waiting for it.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        // Locked during the start, so that no pass takes the supervisor for an orphan.
        let mut supervisors = lock(&self.supervisors);
        let child = command.spawn()?;
        supervisors.extend(child.id().and_then(|id| i32::try_from(id).ok()));
        Ok(child)
    }

    /// Notes that the supervisor `id` was waited for.
    pub(super) fn ended(&self, id: Option<u32>) {
        lock(&self.supervisors).retain(|&known| Some(known.unsigned_abs()) != id);
    }

    /// Waits until all processes of replicas whose supervisors were killed have ended.
    pub(super) async fn settle(&self) {
        let begun = Instant::now();
        while (self.pass() || self.kill_lost()) && begun.elapsed() < SETTLE {
            sleep(PASS).await;
        }
    }

    /// Kills and reaps orphans. Returns whether any process of a replica is left.
    fn pass(&self) -> bool {
        let all = process_tree::all();
        let supervisors = lock(&self.supervisors);
        let mut abandoned = lock(&self.abandoned);
        let this = Pid::this();
        let orphans = |process: &&Process| {
            process.parent == this && !supervisors.contains(&process.pid.as_raw())
        };
        let orphans: Vec<_> = all.iter().filter(orphans).collect();
        abandoned.retain(|pid, _| orphans.iter().any(|orphan| orphan.pid.as_raw() == *pid));
        let mut left = false;
        for orphan in orphans {
            let inner = orphan.is_named(NAME);
            if orphan.zombie {
                let since = abandoned.entry(orphan.pid.as_raw());
                let foreign = inner || self.is_foreign(orphan);
                if foreign || since.or_insert_with(Instant::now).elapsed() >= ABANDONED {
                    let _ = waitpid(orphan.pid, Some(WaitPidFlag::WNOHANG));
                    abandoned.remove(&orphan.pid.as_raw());
                }
            } else if inner {
                // An inner supervisor whose outer one is gone: it kills its command and ends by
                // itself.
                left = true;
            } else if self.is_foreign(orphan) || self.has_mark(orphan) {
                left = true;
                for pid in process_tree::descendants(&all, orphan.pid) {
                    let _ = kill(pid, Signal::SIGKILL);
                }
                let _ = kill(orphan.pid, Signal::SIGKILL);
            }
        }
        left
    }

    /// Kills processes that lost their supervisors and did not become children of this process,
    /// because the predecessor had started the supervisors. Returns whether there were any.
    fn kill_lost(&self) -> bool {
        let all = process_tree::all();
        let lost = all.iter().filter(|process| {
            !process.zombie
                && !process_tree::ancestors(&all, process).any(|above| above.is_named(NAME))
                && self.has_mark(process)
        });
        // All of them must be killed, so not `any`, which would stop at the first.
        lost.map(|process| kill(process.pid, Signal::SIGKILL).is_ok())
            .fold(false, |any, killed| any | killed)
    }

    fn is_foreign(&self, orphan: &Process) -> bool {
        self.session.is_some_and(|own| own != orphan.session)
    }

    fn has_mark(&self, orphan: &Process) -> bool {
        self.owner.is_some() && Owner::of(orphan.pid) == self.owner
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

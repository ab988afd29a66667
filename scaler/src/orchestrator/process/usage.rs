//! The resources that the processes of each replica use: CPU time, memory, and their number. Read
//! every few seconds on a thread of its own, from the replica's control group or from `/proc`.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use nix::unistd::Pid;
use tokio::time::sleep;

use super::{
    process_tree::{self, Process},
    supervisor::NAME,
};
use crate::replica::{Replica, usage::Usage};

/// Time between two readings.
const PERIOD: Duration = Duration::from_secs(5);
/// The length of a clock tick in `/proc`: `USER_HZ` is 100 wherever Linux runs Rust programs.
const TICK: Duration = Duration::from_millis(10);

/// The replicas that are measured. Clones share the list.
#[derive(Clone, Debug, Default)]
pub(super) struct Meters(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    next: u64,
    meters: HashMap<u64, Meter>,
    /// Whether the task that measures them has been started.
    runs: bool,
}

#[derive(Clone, Debug)]
struct Meter {
    replica: Arc<Replica>,
    cgroup: Option<PathBuf>,
    supervisor: Option<Pid>,
}

/// A replica is measured for as long as this value lives.
#[derive(Debug)]
pub(super) struct Measured {
    meters: Meters,
    number: u64,
}

// === impl Meters ===

impl Meters {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Measures `replica`, whose command is in `cgroup` or descends from `supervisor`. Needs a
    /// tokio runtime around it.
    pub(super) fn measure(
        &self,
        replica: &Arc<Replica>,
        cgroup: Option<PathBuf>,
        supervisor: Option<Pid>,
    ) -> Measured {
        let content = &mut *self.content();
        let number = content.next;
        content.next += 1;
        let meter = Meter {
            replica: replica.clone(),
            cgroup,
            supervisor,
        };
        content.meters.insert(number, meter);
        if !content.runs {
            content.runs = true;
            tokio::spawn(self.clone().run());
        }
        Measured {
            meters: self.clone(),
            number,
        }
    }

    /// Measures all replicas periodically.
    async fn run(self) {
        loop {
            sleep(PERIOD).await;
            let meters: Vec<_> = self.content().meters.values().cloned().collect();
            if meters.is_empty() {
                continue;
            }
            let read = move || {
                let all = process_tree::all();
                for meter in meters {
                    if let Some(usage) = meter.usage(&all) {
                        meter.replica.usage().set(usage);
                    }
                }
            };
            // Fails only if the runtime ends.
            let _ = tokio::task::spawn_blocking(read).await;
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.meters.content().meters.remove(&self.number);
    }
}

// === impl Meter ===

impl Meter {
    /// The usage of its processes, out of `all` of the host; `None`: it has no processes, or they
    /// cannot be seen.
    fn usage(&self, all: &[Process]) -> Option<Usage> {
        let group = self.cgroup.as_deref();
        let in_group = group.map(members).filter(|members| !members.is_empty());
        let (own, supervisors) = match (in_group, self.supervisor) {
            (Some(members), _) => (members, Vec::new()),
            (None, Some(supervisor)) => below(all, supervisor),
            (None, None) => return None,
        };
        let of = |pids: &[Pid]| -> Vec<&Process> {
            let is_of = |process: &&Process| pids.contains(&process.pid);
            all.iter().filter(is_of).collect()
        };
        let (own, supervisors) = (of(&own), of(&supervisors));
        if own.is_empty() {
            return None;
        }
        let cpu = group.and_then(cpu_of_group).unwrap_or_else(|| {
            let ticks = own.iter().map(|process| process.cpu + process.waited_for);
            // Orphans were reaped by a supervisor, which has their CPU time.
            let reaped = supervisors.iter().map(|process| process.waited_for);
            TICK.saturating_mul(u32::try_from(ticks.chain(reaped).sum::<u64>()).unwrap_or(u32::MAX))
        });
        let memory = group.and_then(memory_of_group).unwrap_or_else(|| {
            let resident = own.iter().filter_map(|process| resident(process.pid));
            resident.sum()
        });
        Some(Usage {
            cpu,
            memory,
            processes: u32::try_from(own.len()).unwrap_or(u32::MAX),
        })
    }
}

/// The processes below the outer `supervisor`: the command's, and the inner supervisor.
fn below(all: &[Process], supervisor: Pid) -> (Vec<Pid>, Vec<Pid>) {
    let is_supervisor = |pid: &Pid| {
        let process = all.iter().find(|process| process.pid == *pid);
        process.is_some_and(|process| process.is_named(NAME) && process.parent == supervisor)
    };
    let descendants = process_tree::descendants(all, supervisor);
    let (supervisors, own) = descendants.into_iter().partition(is_supervisor);
    (own, supervisors)
}

/// The processes in the group of `folder` and in the groups below it.
fn members(folder: &Path) -> Vec<Pid> {
    let listed = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let pids = listed.lines().filter_map(|pid| pid.parse().ok());
    let mut members: Vec<_> = pids.map(Pid::from_raw).collect();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            members.extend(self::members(&entry.path()));
        }
    }
    members
}

/// `cpu.stat`: every group has it, also without the controller.
fn cpu_of_group(folder: &Path) -> Option<Duration> {
    let stat = fs::read_to_string(folder.join("cpu.stat")).ok()?;
    let micros = stat
        .lines()
        .find_map(|line| line.strip_prefix("usage_usec "));
    Some(Duration::from_micros(micros?.trim().parse().ok()?))
}

/// `memory.current`, if the group has the controller.
fn memory_of_group(folder: &Path) -> Option<u64> {
    let bytes = fs::read_to_string(folder.join("memory.current")).ok()?;
    bytes.trim().parse().ok()
}

/// The resident memory of a process, in bytes.
fn resident(pid: Pid) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = kibibytes
        .trim()
        .trim_end_matches("kB")
        .trim()
        .parse()
        .ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, name: &str) -> Process {
        Process {
            pid: Pid::from_raw(pid),
            parent: Pid::from_raw(parent),
            session: Pid::from_raw(1),
            name: name.to_string(),
            zombie: false,
            started: 0,
            cpu: 100,
            waited_for: 10,
        }
    }

    fn meter(cgroup: Option<PathBuf>, supervisor: Option<i32>) -> Meter {
        Meter {
            replica: Arc::new(Replica::new("m-0", "127.0.0.1:1", None)),
            cgroup,
            supervisor: supervisor.map(Pid::from_raw),
        }
    }

    #[test]
    fn what_is_below_a_supervisor_is_the_replicas_and_the_supervisors_are_not() {
        let supervisor = NAME.to_str().unwrap();
        let all = [
            process(2_000_000_001, 1, supervisor),
            process(2_000_000_002, 2_000_000_001, supervisor),
            process(2_000_000_003, 2_000_000_002, "server"),
            // A server that has the supervisor's name, but belongs to the replica.
            process(2_000_000_004, 2_000_000_003, supervisor),
            process(2_000_000_005, 1, "other"),
        ];
        let usage = meter(None, Some(2_000_000_001)).usage(&all).unwrap();
        // Two processes with 1.1 s, and 0.1 s of what the inner supervisor has reaped.
        assert_eq!(usage.cpu, Duration::from_millis(2_300));
        assert_eq!((usage.processes, usage.memory), (2, 0));
        assert_eq!(meter(None, Some(2_000_000_005)).usage(&all), None);
        assert_eq!(meter(None, None).usage(&all), None);
    }

    #[test]
    fn a_group_is_read_with_those_below_it_and_what_it_does_not_have_from_its_processes() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let own = Pid::this();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("cgroup.procs", "");
        fs::write(inner.join("cgroup.procs"), format!("{own}\n")).unwrap();
        write("cpu.stat", "usage_usec 1500000\nuser_usec 1000000\n");
        let all = process_tree::all();
        let meter = meter(Some(folder.path().to_owned()), None);
        let usage = meter.usage(&all).unwrap();
        assert_eq!(
            (usage.processes, usage.cpu),
            (1, Duration::from_millis(1_500))
        );
        assert!(usage.memory > 1 << 20, "{usage:?}");
        write("memory.current", "12345\n");
        fs::remove_file(folder.path().join("cpu.stat")).unwrap();
        let usage = meter.usage(&all).unwrap();
        assert_eq!(usage.memory, 12_345);
        assert!(usage.cpu < Duration::from_secs(600));
    }
}

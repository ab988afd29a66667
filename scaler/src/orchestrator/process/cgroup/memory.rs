//! The memory limit of a replica's group: `memory.max`.
//!
//! A group has that file if its parent group enables the memory controller for its children. A
//! group that does so may have no processes of its own (`cgroups(7)`, "no internal processes"),
//! unless it is the root group. So the proxy moves itself, and its supervisors, into a child
//! group.

use std::{fs, path::Path};

use nix::unistd::Pid;

use super::{Cgroup, Cgroups, PROXY};
use crate::orchestrator::process::{
    process_tree::{self, Process},
    supervisor::NAME,
};

const CONTROLLER: &str = "memory";
/// The file with the controllers that a group enables for its children.
const PASSED_ON: &str = "cgroup.subtree_control";

impl Cgroups {
    /// Enables the memory limit for the replicas' groups from now on.
    ///
    /// # Errors
    /// A sentence that says why it cannot be enabled.
    pub(super) fn pass_memory_on(&self) -> Result<(), String> {
        let folder = &self.folder;
        if has(&folder.join(PASSED_ON)) {
            return Ok(());
        }
        if !has(&folder.join("cgroup.controllers")) {
            return Err(format!(
                "the control group {} does not have the memory controller (cgroup v2); run Tailback as a systemd unit \
                 with Delegate=yes, or as root where nothing else uses that controller",
                folder.display()
            ));
        }
        let pass_on = || fs::write(folder.join(PASSED_ON), format!("+{CONTROLLER}"));
        if pass_on().is_ok() {
            return Ok(());
        }
        self.move_into_one_below()?;
        pass_on().map_err(|error| {
            format!(
                "the control group {} does not pass the memory controller on: {error}",
                folder.display()
            )
        })
    }

    /// Moves the processes of the proxy's group into a child group.
    fn move_into_one_below(&self) -> Result<(), String> {
        let folder = &self.folder;
        let failed = |what: &str, error: std::io::Error| {
            format!("cannot {what} in {}: {error}", folder.display())
        };
        let listed = fs::read_to_string(folder.join("cgroup.procs"))
            .map_err(|error| failed("list the processes", error))?;
        let listed: Vec<_> = listed.lines().filter_map(|pid| pid.parse().ok()).collect();
        let all = process_tree::all();
        if let Some(stranger) = stranger(&all, &listed, Pid::this()) {
            return Err(format!(
                "{} (pid {}) is in Tailback's control group, {}, as well; run Tailback in one of its own, as a systemd \
                 unit does",
                stranger.name,
                stranger.pid,
                folder.display()
            ));
        }
        let below = folder.join(PROXY);
        if !below.is_dir() {
            fs::create_dir(&below).map_err(|error| failed("make a group", error))?;
        }
        for pid in listed {
            let moved = fs::write(below.join("cgroup.procs"), pid.to_string());
            if let Err(error) = moved
                && process_tree::one(Pid::from_raw(pid)).is_some()
            {
                return Err(failed("move processes", error));
            }
        }
        Ok(())
    }
}

impl Cgroup {
    /// Limits the memory of all its processes together, in bytes. If they need more, the kernel
    /// kills all of them.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn limit_memory(&self, bytes: u64) -> std::io::Result<()> {
        fs::write(self.folder.join("memory.max"), bytes.to_string())?;
        // Kills the whole group on "out of memory", because a replica without one of its processes
        // would hang. Since Linux 4.19.
        let _ = fs::write(self.folder.join("memory.oom.group"), "1");
        Ok(())
    }
}

/// Whether the controller is in the list of this file.
fn has(file: &Path) -> bool {
    let listed = fs::read_to_string(file).unwrap_or_default();
    listed.split_whitespace().any(|name| name == CONTROLLER)
}

/// One of the processes `listed` that is not part of Tailback: neither this process (`own`), nor a
/// predecessor of it, nor a supervisor.
fn stranger<'a>(all: &'a [Process], listed: &[i32], own: Pid) -> Option<&'a Process> {
    let name = all.iter().find(|process| process.pid == own);
    let name = name.map(|process| process.name.as_str());
    let below = process_tree::descendants(all, own);
    let is_ours = |process: &Process| {
        process.zombie
            || process.is_named(NAME)
            || Some(process.name.as_str()) == name
            || below.contains(&process.pid)
    };
    let mut listed = all.iter().filter(|p| listed.contains(&p.pid.as_raw()));
    listed.find(|process| !is_ours(process))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, name: &str) -> Process {
        Process {
            pid: Pid::from_raw(pid),
            parent: Pid::from_raw(parent),
            session: Pid::from_raw(1),
            name: name.to_owned(),
            zombie: false,
            started: 0,
            cpu: 0,
            waited_for: 0,
        }
    }

    #[test]
    fn only_what_belongs_to_no_tailback_is_a_stranger() {
        let all = [
            process(1, 0, "systemd"),
            process(10, 1, "tailback"),
            process(11, 10, "tailback"),
            process(12, 11, "sh"),
            process(13, 1, NAME.to_str().unwrap()),
            process(14, 1, "bash"),
        ];
        let found = |listed: &[i32]| {
            stranger(&all, listed, Pid::from_raw(11)).map(|process| process.pid.as_raw())
        };
        // This process, its predecessor, its children, and a supervisor of either.
        assert_eq!(found(&[10, 11, 12, 13]), None);
        assert_eq!(found(&[11, 14]), Some(14));
        assert_eq!(found(&[1, 11]), Some(1));
        // A process that has ended meanwhile.
        assert_eq!(found(&[11, 99]), None);
    }

    #[test]
    fn memory_is_limited_where_the_controller_is_there_and_else_the_reason_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let groups = Cgroups {
            folder: folder.path().to_owned(),
        };
        write("cgroup.controllers", "cpu hugetlb\n");
        let why = groups.pass_memory_on().unwrap_err();
        assert!(why.contains("does not have the memory controller"), "{why}");
        write("cgroup.controllers", "cpu memory\n");
        groups.pass_memory_on().unwrap();
        assert_eq!(read("cgroup.subtree_control"), "+memory");
        write("cgroup.subtree_control", "memory\n");
        groups.pass_memory_on().unwrap();
        let group = groups.create("a").unwrap();
        group.limit_memory(1 << 30).unwrap();
        let of = |name: &str| read(&format!("tailback-replica-a/{name}"));
        assert_eq!(of("memory.max"), "1073741824");
        assert_eq!(of("memory.oom.group"), "1");
    }
}

//! Control groups (cgroup v2). Each replica's command gets its own, below the proxy's, if the
//! proxy may create groups: as root, in a systemd unit with `Delegate=yes`, or in a container
//! with a writable `/sys/fs/cgroup`. A group can be killed as a whole by its path, and no process
//! can leave it by itself.

mod memory;

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tailback_config::cgroup::{CgroupVersion, own_group};

/// The prefix of our groups' folders.
const PREFIX: &str = "tailback-replica-";
/// The group of the proxy itself, once the one above it limits memory.
const PROXY: &str = "tailback-proxy";

/// The proxy's own group, in which the replicas' groups are created.
#[derive(Debug, Clone)]
pub(super) struct Cgroups {
    folder: PathBuf,
}

/// The group of one replica.
#[derive(Debug, Clone)]
pub(super) struct Cgroup {
    folder: PathBuf,
}

// === impl Cgroups ===

impl Cgroups {
    /// The group of this process; `None` if no groups can be created in it.
    pub(super) fn find() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let (mut folder, _) = own_group(CgroupVersion::V2, &own, &mounts)?;
        if folder.ends_with(PROXY) {
            folder.pop();
        }
        // Moving a process needs write access to this file of the common parent group.
        writable(&folder.join("cgroup.procs")).ok()?;
        let groups = Self { folder };
        let probe = groups
            .create(&format!("probe-{}", std::process::id()))
            .ok()?;
        let usable = probe.entrance().is_ok();
        probe.remove();
        usable.then_some(groups)
    }

    /// Creates a group named `name`, whose processes may use so many bytes of memory together.
    ///
    /// # Errors
    /// A sentence that says why it cannot be created or limited.
    pub(super) fn create_limited(&self, name: &str, bytes: u64) -> Result<Cgroup, String> {
        self.pass_memory_on()?;
        let group = self.create(name).map_err(|error| error.to_string())?;
        if let Err(error) = group.limit_memory(bytes) {
            group.remove();
            return Err(format!("memory.max cannot be set: {error}"));
        }
        Ok(group)
    }

    /// Creates a group named `name`.
    pub(super) fn create(&self, name: &str) -> io::Result<Cgroup> {
        let folder = self.folder.join(format!("{PREFIX}{name}"));
        fs::create_dir(&folder)?;
        Ok(Cgroup { folder })
    }

    /// All groups by name, including those of proxies that have ended.
    pub(super) fn list(&self) -> Vec<(String, Cgroup)> {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let named = |entry: io::Result<fs::DirEntry>| {
            let entry = entry.ok()?;
            let name = entry.file_name().to_str()?.strip_prefix(PREFIX)?.to_owned();
            Some((name, Cgroup::at(entry.path())))
        };
        entries.filter_map(named).collect()
    }
}

// === impl Cgroup ===

impl Cgroup {
    pub(super) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file by which a process enters the group: it writes `0`.
    pub(super) fn entrance(&self) -> io::Result<File> {
        writable(&self.folder.join("cgroup.procs"))
    }

    /// Kills all processes in the group and in the groups below it.
    pub(super) fn kill(&self) {
        // Exists since Linux 5.14. Without it, processes are killed one by one, which may need
        // several passes.
        if fs::write(self.folder.join("cgroup.kill"), "1").is_err() {
            let listed = fs::read_to_string(self.folder.join("cgroup.procs"));
            for pid in listed.unwrap_or_default().lines() {
                if let Ok(pid) = pid.parse() {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
        }
    }

    /// Removes the group and all groups in it. Waits for killed processes to end, as they stay in
    /// the group until then.
    pub(super) fn remove(&self) {
        for _ in 0..50 {
            remove_tree(&self.folder);
            if !self.folder.exists() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn writable(file: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(file)
}

/// Removes a group's folder. Its files go with it; folders in it must be removed first.
fn remove_tree(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}

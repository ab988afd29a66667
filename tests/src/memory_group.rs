//! A control group whose processes may have so much memory together, where a test may make one.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// The group. Dropping it removes it; its processes must have ended.
#[derive(Debug)]
pub struct MemoryGroup {
    folder: PathBuf,
}

impl MemoryGroup {
    /// Makes a group, of version 2 or 1, whichever has the controller `memory` here.
    ///
    /// # Errors
    /// Why there can be none here.
    pub fn new(bytes: u64) -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|e| e.to_string())?;
        let name = format!("tailback-test-{}", std::process::id());
        let mut why = "there is no control group with the controller memory".to_owned();
        for line in mounts.lines() {
            let Some((before, after)) = line.split_once(" - ") else {
                continue;
            };
            let point = Path::new(before.split(' ').nth(4).unwrap_or_default());
            let mut after = after.split(' ');
            let limit = match (after.next(), after.nth(1).unwrap_or_default()) {
                (Some("cgroup2"), _) if passes_memory_on(point) => "memory.max",
                (Some("cgroup"), options) if options.split(',').any(|o| o == "memory") => {
                    "memory.limit_in_bytes"
                }
                _ => continue,
            };
            let group = Self {
                folder: point.join(&name),
            };
            let made = fs::create_dir(&group.folder)
                .and_then(|()| fs::write(group.folder.join(limit), bytes.to_string()));
            match made {
                Ok(()) => return Ok(group),
                Err(error) => why = format!("{}: {error}", group.folder.display()),
            }
        }
        Err(why)
    }

    /// What a shell does so that it, and what it executes, is in the group.
    #[must_use]
    pub fn enter(&self) -> String {
        format!(
            "echo 0 > {}/cgroup.procs && exec \"$@\"",
            self.folder.display()
        )
    }

    /// How many processes the kernel has killed for want of memory.
    ///
    /// # Panics
    /// If the group does not say.
    #[must_use]
    pub fn kills(&self) -> u64 {
        let counts = ["memory.events", "memory.oom_control"].into_iter();
        let counts = counts.filter_map(|name| fs::read_to_string(self.folder.join(name)).ok());
        let text: String = counts.collect();
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.parse().ok()).expect("a count")
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() || !self.folder.exists() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn passes_memory_on(folder: &Path) -> bool {
    let listed = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
    listed.split_whitespace().any(|name| name == "memory")
}

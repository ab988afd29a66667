//! Processes of this host, by `/proc`.

use std::fs;

use nix::unistd::Pid;

/// Memory a process has in RAM, in bytes; 0 if it is gone.
#[must_use]
pub fn resident_bytes(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|l| l.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

/// A model's name that no other test's processes have in their command lines.
#[must_use]
pub fn unique() -> String {
    format!("m-{:016x}", fastrand::u64(..))
}

/// Process ids of a model's servers, without their supervisors.
#[must_use]
pub fn servers_of(model: &str) -> Vec<i32> {
    let supervisors = processes_with("__supervise");
    let all = processes_with(model).into_iter();
    all.filter(|pid| !supervisors.contains(pid)).collect()
}

/// Process ids of everything whose command line contains `mark`.
#[must_use]
pub fn processes_with(mark: &str) -> Vec<i32> {
    let own = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|&pid| pid as u32 != own)
        .filter(|pid| {
            fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(mark))
        })
        .collect()
}

//! Metrics of Tailback's own process, under the names of Prometheus' client libraries. A value
//! that the system does not provide has no series.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use nix::{
    sys::resource::{Resource, UsageWho, getrlimit, getrusage},
    unistd::{SysconfVar, sysconf},
};

use crate::telemetry::metrics::Exposition;

/// Writes the families. `started` is the start time of the process.
pub(super) fn render(text: &mut Exposition, started: SystemTime) {
    let mut family = |name, kind, help, value: Option<f64>| {
        if let Some(value) = value {
            text.family(name, kind, help).sample(&[], value);
        }
    };
    family(
        "process_cpu_seconds_total",
        "counter",
        "CPU time of Tailback's process, without its replicas.",
        cpu_seconds(),
    );
    let (size, resident) = memory().unzip();
    family(
        "process_virtual_memory_bytes",
        "gauge",
        "Address space of Tailback's process.",
        size,
    );
    family(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory of Tailback's process, pages of files included.",
        resident,
    );
    family(
        "process_open_fds",
        "gauge",
        "Open file descriptors of Tailback's process.",
        open_files().map(|files| files as f64),
    );
    family(
        "process_max_fds",
        "gauge",
        "File descriptors that Tailback's process may have.",
        getrlimit(Resource::RLIMIT_NOFILE)
            .ok()
            .map(|(soft, _)| soft as f64),
    );
    family(
        "process_start_time_seconds",
        "gauge",
        "When Tailback's process was started, in seconds since 1970 (UTC).",
        (started.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_secs_f64()),
    );
}

fn cpu_seconds() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let times = [usage.user_time(), usage.system_time()];
    let seconds = times.map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6);
    Some(seconds.iter().sum())
}

/// Linux says the number as the folder's size, from 6.2 on. Before that the size is 0, and the folder
/// must be read, which takes milliseconds where thousands of connections are open.
fn open_files() -> Option<u64> {
    const FOLDER: &str = "/proc/self/fd";
    match fs::metadata(FOLDER).ok()?.len() {
        // Reading the folder opens a descriptor itself.
        0 => Some(fs::read_dir(FOLDER).ok()?.count().saturating_sub(1) as u64),
        files => Some(files),
    }
}

/// Address space and resident memory, in bytes: the first two fields of `statm`, see proc(5).
fn memory() -> Option<(f64, f64)> {
    let page = sysconf(SysconfVar::PAGE_SIZE).ok()?? as f64;
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let mut fields = text.split_ascii_whitespace();
    let mut bytes = || Some(fields.next()?.parse::<f64>().ok()? * page);
    Some((bytes()?, bytes()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_process_uses_is_shown() {
        let spent = cpu_seconds().unwrap();
        while cpu_seconds().unwrap() <= spent {}
        let mut text = Exposition::default();
        render(&mut text, SystemTime::now());
        let text = text.into_string();
        let value = |name: &str| -> f64 {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{name} ")));
            line.unwrap_or_else(|| panic!("{name} in {text}"))
                .parse()
                .unwrap()
        };
        assert!(value("process_cpu_seconds_total") > spent);
        assert!(value("process_open_fds") <= value("process_max_fds"));
        // However it is counted, and whatever other tests open and close meanwhile.
        let listed = || fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1;
        assert!((0..10_000).any(|_| open_files() == Some(listed())));
        let resident = value("process_resident_memory_bytes");
        assert!((1e5..value("process_virtual_memory_bytes")).contains(&resident));
        assert!(value("process_start_time_seconds") > 1e9);
    }
}

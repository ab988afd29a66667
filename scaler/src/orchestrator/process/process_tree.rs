//! The tree of processes, from `/proc`.

use std::{collections::HashMap, ffi::CStr, fs};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A process, from `/proc/{pid}/stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: Pid,
    pub parent: Pid,
    pub session: Pid,
    /// Its name: that of the program, cut to 15 characters, or one that it has set itself.
    pub name: String,
    /// Whether it has ended and its parent has not reaped it.
    pub zombie: bool,
    /// When it started, in clock ticks since boot. With the id, it is unique until the next boot.
    pub started: u64,
    /// The CPU time that it has used, in clock ticks.
    pub cpu: u64,
    /// The CPU time of ended descendants that it has waited for, in clock ticks.
    pub waited_for: u64,
}

impl Process {
    /// Whether its name is `name`.
    pub(super) fn is_named(&self, name: &CStr) -> bool {
        self.name.as_bytes() == name.to_bytes()
    }
}

/// All visible processes. Empty without `/proc`.
pub(super) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| one(Pid::from_raw(pid)))
        .collect()
}

/// The process `pid`; `None` if it does not exist.
pub(super) fn one(pid: Pid) -> Option<Process> {
    parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `proc_pid_stat(5)`: id, name in parentheses, which may contain anything, state, parent, …
fn parse(pid: Pid, stat: &str) -> Option<Process> {
    let (before, rest) = stat.rsplit_once(") ")?;
    let (_, name) = before.split_once('(')?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let _group = fields.next()?;
    let session = fields.next()?.parse().ok()?;
    let mut ticks = |skip: usize| -> Option<u64> { fields.nth(skip)?.parse().ok() };
    // Fields 14 to 17, and 22; the session is field 6.
    let (user, system) = (ticks(7)?, ticks(0)?);
    let (waited_user, waited_system) = (ticks(0)?, ticks(0)?);
    let started = ticks(4)?;
    Some(Process {
        pid,
        parent: Pid::from_raw(parent),
        session: Pid::from_raw(session),
        name: name.to_owned(),
        zombie: state == "Z",
        started,
        cpu: user + system,
        waited_for: waited_user + waited_system,
    })
}

/// The processes in `all` that descend from `ancestor` and are not zombies.
pub(super) fn descendants(all: &[Process], ancestor: Pid) -> Vec<Pid> {
    let mut children: HashMap<Pid, Vec<&Process>> = HashMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut open = vec![ancestor];
    while let Some(parent) = open.pop() {
        // Removed from the map, so that ids reused during the reading cannot make a circle.
        for child in children.remove(&parent).unwrap_or_default() {
            open.push(child.pid);
            if !child.zombie {
                found.push(child.pid);
            }
        }
    }
    found
}

/// The ancestors of `process` among `all`, its parent first.
pub(super) fn ancestors<'a>(
    all: &'a [Process],
    process: &'a Process,
) -> impl Iterator<Item = &'a Process> {
    let parent = |below: &&'a Process| {
        let parent = below.parent;
        all.iter().find(|other| other.pid == parent)
    };
    // `take` ends the iteration even if ids were reused during the reading.
    std::iter::successors(parent(&process), parent).take(all.len())
}

/// Sends `signal` to all descendants of `ancestor`.
pub(super) fn signal_descendants(ancestor: Pid, signal: Signal) {
    for pid in descendants(&all(), ancestor) {
        // Fails if the process has ended.
        let _ = kill(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, zombie: bool) -> Process {
        Process {
            pid: Pid::from_raw(pid),
            parent: Pid::from_raw(parent),
            session: Pid::from_raw(7),
            name: "a) Z 1 (b".into(),
            zombie,
            started: 0,
            cpu: 0,
            waited_for: 0,
        }
    }

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let line = "7 (a) Z 1 (b) S 3 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4711 1 1\n";
        let found = parse(Pid::from_raw(7), line).unwrap();
        assert_eq!(
            found,
            Process {
                started: 4711,
                cpu: 11,
                waited_for: 15,
                ..process(7, 3, false)
            }
        );
        assert_eq!(parse(Pid::from_raw(7), "7 (a"), None);
        assert_eq!(parse(Pid::from_raw(7), "7 (a) S"), None);
    }

    #[test]
    fn descendants_are_found_below_zombies_and_not_beside() {
        let all = [
            process(2, 1, false),
            process(3, 2, true),
            process(4, 3, false),
            process(5, 1, false),
        ];
        let mut found = descendants(&all, Pid::from_raw(2));
        found.sort();
        assert_eq!(found, [Pid::from_raw(4)]);
        assert_eq!(descendants(&all, Pid::from_raw(9)), []);
        let above: Vec<_> = ancestors(&all, &all[2]).map(|p| p.pid.as_raw()).collect();
        assert_eq!(above, [3, 2]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_found_with_its_parent() {
        let own = one(Pid::this()).unwrap();
        assert_eq!(own.parent, Pid::parent());
        assert!(own.started > 0 && !own.zombie);
        let same = |other: &Process| (other.pid, other.started) == (own.pid, own.started);
        assert!(all().iter().any(same));
    }
}

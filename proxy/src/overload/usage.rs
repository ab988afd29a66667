//! The memory that the process uses.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use tailback_config::cgroup::{CgroupVersion, own_group};

/// After this many readings (once a second), the control groups are looked up again.
const GROUPS_SEEN: u32 = 40;

/// Reads the memory that counts: the resident anonymous memory of the process, and, from the
/// control group, the kernel's buffers for its sockets. Pages of files do not count, because the
/// kernel reclaims them when it needs memory.
#[derive(Debug)]
pub(super) struct Usage {
    /// `/proc/self/statm`.
    own: File,
    page: u64,
    /// The control group, if there is one (version 2).
    group: Option<Group>,
    looks: u32,
}

/// A control group.
#[derive(Debug)]
struct Group {
    /// Its `memory.stat`.
    stat: File,
    /// Socket buffers of its child groups, those of replicas, which it includes.
    below: u64,
}

impl Usage {
    /// # Errors
    /// If the system does not report it.
    pub(super) fn open() -> io::Result<Self> {
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?;
        let page = page.and_then(|bytes| u64::try_from(bytes).ok());
        let mut usage = Self {
            own: File::open("/proc/self/statm")?,
            page: page.unwrap_or(4096),
            group: None,
            looks: 0,
        };
        usage.read(None)?;
        Ok(usage)
    }

    /// The memory in bytes, including that of the process `partner`, if there is one.
    ///
    /// # Errors
    /// If the system does not report it.
    pub(super) fn read(&mut self, partner: Option<u32>) -> io::Result<u64> {
        // The process may have been moved to another group, and the groups of replicas change.
        if self.looks.is_multiple_of(GROUPS_SEEN) {
            self.group = Group::of_this_process();
        }
        self.looks = self.looks.wrapping_add(1);
        let own = pages(&self.own)?;
        // The partner may have ended just now.
        let partner =
            partner.and_then(|pid| pages(&File::open(format!("/proc/{pid}/statm")).ok()?).ok());
        let pages = own + partner.unwrap_or(0);
        let sockets = self.group.as_ref().and_then(Group::sockets);
        Ok(pages * self.page + sockets.unwrap_or(0))
    }
}

impl Group {
    fn of_this_process() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let (folder, _) = own_group(CgroupVersion::V2, &own, &mounts)?;
        Self::at(&folder)
    }

    fn at(folder: &Path) -> Option<Self> {
        let below = fs::read_dir(folder).into_iter().flatten().flatten();
        let below = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        Some(Self {
            stat: open_stat(folder.to_owned())?,
            below: below
                .filter_map(|entry| sockets_of(&open_stat(entry.path())?))
                .sum(),
        })
    }

    /// The socket buffers of its own processes, in bytes.
    fn sockets(&self) -> Option<u64> {
        Some(sockets_of(&self.stat)?.saturating_sub(self.below))
    }
}

fn open_stat(folder: PathBuf) -> Option<File> {
    File::open(folder.join("memory.stat")).ok()
}

fn sockets_of(stat: &File) -> Option<u64> {
    // The line is near the beginning of the file.
    let mut text = [0; 1024];
    let length = stat.read_at(&mut text, 0).ok()?;
    socket_bytes(&String::from_utf8_lossy(&text[..length]))
}

/// The anonymous pages of the process to which `statm` belongs.
fn pages(statm: &File) -> io::Result<u64> {
    let mut text = [0; 128];
    let length = statm.read_at(&mut text, 0)?;
    anonymous(&String::from_utf8_lossy(&text[..length]))
        .ok_or_else(|| io::Error::other("statm is not as proc(5) says"))
}

/// Resident pages that belong to no file, from `statm`: size, resident, shared, …
fn anonymous(statm: &str) -> Option<u64> {
    let mut fields = statm.split_ascii_whitespace().skip(1);
    let mut pages = || fields.next()?.parse::<u64>().ok();
    let (resident, shared) = (pages()?, pages()?);
    Some(resident.saturating_sub(shared))
}

/// The line `sock` of `memory.stat`.
fn socket_bytes(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("sock "));
    line?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_counts_without_pages_of_files() {
        assert_eq!(anonymous("5000 1200 200 30 0 900 0\n"), Some(1000));
        assert_eq!(anonymous("5000"), None);
        assert_eq!(
            socket_bytes("anon 1\nfile 2\nsock 4096\nvmalloc 3\n"),
            Some(4096)
        );
        assert_eq!(socket_bytes("anon 1\n"), None);
    }

    #[test]
    fn memory_that_is_written_is_seen() {
        const BYTES: usize = 64 << 20;
        let mut usage = Usage::open().unwrap();
        let before = usage.read(None).unwrap();
        let kept = std::hint::black_box(vec![1_u8; BYTES]);
        let after = usage.read(None).unwrap();
        assert!(after >= before + BYTES as u64 / 2, "{before} {after}");
        drop(kept);
    }

    #[test]
    fn memory_of_the_process_that_one_takes_over_from_counts_until_it_has_ended() {
        let mut usage = Usage::open().unwrap();
        let own = usage.read(None).unwrap();
        // No process has this number (`pid_max` is at most 2^22).
        assert!(usage.read(Some(u32::MAX)).unwrap() < own + own / 2);
        let both = usage.read(Some(std::process::id())).unwrap();
        assert!(both > own + own / 2, "{own} {both}");
    }

    #[test]
    fn sockets_of_replicas_in_groups_of_their_own_are_not_the_proxys() {
        let group = tempfile::tempdir().unwrap();
        let write = |folder: &Path, bytes: u64| {
            fs::create_dir_all(folder).unwrap();
            fs::write(
                folder.join("memory.stat"),
                format!("anon 9\nsock {bytes}\n"),
            )
            .unwrap();
        };
        write(group.path(), 1000);
        fs::create_dir(group.path().join("without-the-controller")).unwrap();
        let sockets = || Group::at(group.path()).unwrap().sockets();
        assert_eq!(sockets(), Some(1000));
        write(&group.path().join("tailback-replica-a"), 300);
        write(&group.path().join("tailback-replica-b"), 100);
        assert_eq!(sockets(), Some(600));
        assert!(Group::at(&group.path().join("none")).is_none());
    }
}

//! How much memory the process uses.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
};

use tailback_config::cgroup::{CgroupVersion, own_group};

/// Reads what is counted: the anonymous memory of the process that is resident, and, by the control
/// group, the buffers of its sockets, which the kernel has. Pages of files are not: the kernel takes
/// them back when it needs memory.
#[derive(Debug)]
pub(super) struct Usage {
    /// `/proc/self/statm`.
    own: File,
    page: u64,
    /// `memory.stat` of the control group, where there is one (version 2).
    group: Option<File>,
}

impl Usage {
    /// # Errors
    /// If the system does not tell.
    pub(super) fn open() -> io::Result<Self> {
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?;
        let page = page.and_then(|bytes| u64::try_from(bytes).ok());
        let usage = Self {
            own: File::open("/proc/self/statm")?,
            page: page.unwrap_or(4096),
            group: group(),
        };
        usage.read()?;
        Ok(usage)
    }

    /// In bytes.
    ///
    /// # Errors
    /// If the system does not tell.
    pub(super) fn read(&self) -> io::Result<u64> {
        let mut text = [0; 128];
        let length = self.own.read_at(&mut text, 0)?;
        let pages = anonymous(&String::from_utf8_lossy(&text[..length]))
            .ok_or_else(|| io::Error::other("/proc/self/statm is not as proc(5) says"))?;
        Ok(pages * self.page + self.sockets().unwrap_or(0))
    }

    fn sockets(&self) -> Option<u64> {
        // The line is among the first ones.
        let mut text = [0; 1024];
        let length = self.group.as_ref()?.read_at(&mut text, 0).ok()?;
        socket_bytes(&String::from_utf8_lossy(&text[..length]))
    }
}

fn group() -> Option<File> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let (folder, _) = own_group(CgroupVersion::V2, &own, &mounts)?;
    File::open(folder.join("memory.stat")).ok()
}

/// Resident pages that belong to no file, by `statm`: size, resident, shared, …
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
        let usage = Usage::open().unwrap();
        let before = usage.read().unwrap();
        let kept = std::hint::black_box(vec![1_u8; BYTES]);
        let after = usage.read().unwrap();
        assert!(after >= before + BYTES as u64 / 2, "{before} {after}");
        drop(kept);
    }
}

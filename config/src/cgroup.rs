//! Control groups of Linux: where a process's own is, by version, and how much memory it may have.
//! Pure but for [`memory_limit`], which reads the files.

use std::fs;
use std::path::{Path, PathBuf};

/// A version of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupVersion {
    /// One tree for each controller; here that of the controller `memory`.
    V1,
    /// One tree for all controllers.
    V2,
}

/// The folder of the group in `own` (`/proc/self/cgroup`), and where its tree is mounted, by `mounts`
/// (`/proc/self/mountinfo`).
#[must_use]
pub fn own_group(version: CgroupVersion, own: &str, mounts: &str) -> Option<(PathBuf, PathBuf)> {
    let path = own.lines().find_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (controllers, path) = line.split_once(':')?;
        let is_it = match version {
            CgroupVersion::V1 => controllers.split(',').any(|name| name == "memory"),
            CgroupVersion::V2 => controllers.is_empty(),
        };
        is_it.then_some(path)
    })?;
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let (kind, options) = (after.next()?, after.nth(1).unwrap_or_default());
        let is_it = match version {
            CgroupVersion::V1 => kind == "cgroup" && options.split(',').any(|o| o == "memory"),
            CgroupVersion::V2 => kind == "cgroup2",
        };
        if !is_it {
            return None;
        }
        let mut fields = before.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        // If the mount shows only a part of the tree, that part is not in our path.
        let inside = path.strip_prefix(root.trim_end_matches('/'))?;
        let point = PathBuf::from(point);
        Some((point.join(inside.trim_start_matches('/')), point))
    })
}

/// The least limit of memory of this process's control group and those above it, in bytes, and the
/// file that it is from. `None`: there is no limit, or no such group.
#[must_use]
pub fn memory_limit() -> Option<(u64, PathBuf)> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    least_limit(&own, &mounts, |file| fs::read_to_string(file).ok())
}

/// [`memory_limit`], with the text of files from `read`.
fn least_limit(
    own: &str,
    mounts: &str,
    read: impl Fn(&Path) -> Option<String>,
) -> Option<(u64, PathBuf)> {
    let versions = [
        (CgroupVersion::V2, "memory.max"),
        (CgroupVersion::V1, "memory.limit_in_bytes"),
    ];
    let limits = versions.into_iter().filter_map(|(version, name)| {
        let (folder, mount) = own_group(version, own, mounts)?;
        let groups = folder.ancestors().take_while(|at| at.starts_with(&mount));
        let files: Vec<_> = groups.map(|group| group.join(name)).collect();
        let limits = files.into_iter().filter_map(|file| {
            // In version 2 "no limit" is the word `max`, in version 1 a number that no memory
            // reaches.
            let bytes: u64 = read(&file)?.trim().parse().ok()?;
            (bytes < 1 << 60).then_some((bytes, file))
        });
        limits.min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIFIED: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
    const HYBRID: &str = "30 29 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
        32 29 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        31 29 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    const PART: &str = "29 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n";

    #[test]
    fn the_own_group_is_found_in_whichever_way_it_is_mounted() {
        use CgroupVersion::{V1, V2};
        for (version, own, mounts, expected) in [
            (V2, "0::/\n", UNIFIED, Some("/sys/fs/cgroup")),
            (
                V2,
                "0::/system.slice/tailback.service\n",
                UNIFIED,
                Some("/sys/fs/cgroup/system.slice/tailback.service"),
            ),
            (
                V2,
                "4:memory:/x\n0::/a\n",
                HYBRID,
                Some("/sys/fs/cgroup/unified/a"),
            ),
            (
                V1,
                "4:memory:/x\n0::/a\n",
                HYBRID,
                Some("/sys/fs/cgroup/memory/x"),
            ),
            (V1, "0::/a\n", HYBRID, None),
            (V2, "0::/docker/abc/b\n", PART, Some("/sys/fs/cgroup/b")),
            (V2, "0::/elsewhere\n", PART, None),
            (V2, "4:memory:/x\n", HYBRID, None),
            (V2, "0::/\n", "", None),
        ] {
            let found = own_group(version, own, mounts).map(|(folder, _)| folder);
            assert_eq!(found.as_deref(), expected.map(Path::new), "{own} {mounts}");
        }
    }

    #[test]
    fn the_least_limit_of_a_group_and_those_above_it_holds() {
        let limit = |own: &str, mounts: &str, files: &[(&str, &str)]| {
            let read = |file: &Path| {
                let known = files.iter().find(|(name, _)| Path::new(name) == file);
                known.map(|(_, text)| (*text).to_owned())
            };
            least_limit(own, mounts, read).map(|(bytes, file)| (bytes, file.display().to_string()))
        };
        let none = limit(
            "0::/a/b\n",
            UNIFIED,
            &[("/sys/fs/cgroup/a/b/memory.max", "max\n")],
        );
        assert_eq!(none, None);
        let above = [
            ("/sys/fs/cgroup/a/b/memory.max", "900\n"),
            ("/sys/fs/cgroup/a/memory.max", "800\n"),
            ("/sys/fs/memory.max", "1\n"),
        ];
        let found = limit("0::/a/b\n", UNIFIED, &above);
        assert_eq!(found, Some((800, "/sys/fs/cgroup/a/memory.max".to_owned())));
        let v1 = [
            ("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "700\n"),
            (
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
        ];
        let found = limit("4:memory:/x\n0::/\n", HYBRID, &v1);
        let file = "/sys/fs/cgroup/memory/x/memory.limit_in_bytes".to_owned();
        assert_eq!(found, Some((700, file)));
    }
}

//! Finds out which process listens on a port, from `/proc`, as `ss -ltnp` does.

use std::{collections::BTreeSet, fs};

use nix::unistd::Pid;

use super::process_tree;

/// The local addresses of sockets bound to 127.0.0.1 itself, as in `/proc/net/tcp` and `tcp6`.
const EXACT: [&str; 2] = ["0100007F", "0000000000000000FFFF00000100007F"];

/// The kernel's number of a socket.
type Inode = u64;

/// Checks that descendants of `supervisor` listen on this port of 127.0.0.1, as far as that can
/// be seen.
///
/// # Errors
/// A sentence that says which other process has the port.
pub(super) fn check(port: u16, supervisor: Pid) -> Result<(), String> {
    let listening = listening(port);
    let all = process_tree::all();
    let mut own = BTreeSet::new();
    for pid in process_tree::descendants(&all, supervisor) {
        match sockets(pid) {
            Some(sockets) => own.extend(sockets),
            // The sockets cannot be seen, for example those of another user. Assume that they are
            // right.
            None => return Ok(()),
        }
    }
    let Some(foreign) = listening.iter().find(|inode| !own.contains(inode)) else {
        return Ok(());
    };
    let holder = all
        .iter()
        .find(|process| sockets(process.pid).is_some_and(|sockets| sockets.contains(foreign)));
    let holder = holder.map_or_else(
        || "a process that cannot be seen from here".to_owned(),
        |process| format!("{} (pid {})", process.name, process.pid),
    );
    Err(format!(
        "port {port} is taken by {holder}, which the replica did not start; if the command makes another service open \
         the port, set listener: any"
    ))
}

/// The sockets that take connections to this port of 127.0.0.1.
fn listening(port: u16) -> Vec<Inode> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"]
        .map(|file| fs::read_to_string(file).unwrap_or_default());
    of_port(&tables.concat(), port)
}

/// The sockets in `table` that listen on `port` at 127.0.0.1, or if there are none, at all
/// addresses.
fn of_port(table: &str, port: u16) -> Vec<Inode> {
    let port = format!("{port:04X}");
    let mut exact = Vec::new();
    let mut any = Vec::new();
    for line in table.lines() {
        // sl, local, remote, state, queues, timer, retransmits, uid, timeout, inode
        let fields: Vec<_> = line.split_whitespace().take(10).collect();
        let [_, local, _, "0A", .., inode] = fields.as_slice() else {
            continue;
        };
        let (Some((address, of)), Ok(inode)) = (local.split_once(':'), inode.parse()) else {
            continue;
        };
        if of == port && EXACT.contains(&address) {
            exact.push(inode);
        } else if of == port && address.bytes().all(|digit| digit == b'0') {
            any.push(inode);
        }
    }
    if exact.is_empty() { any } else { exact }
}

/// The open sockets of a process; `None` if they cannot be seen.
fn sockets(pid: Pid) -> Option<BTreeSet<Inode>> {
    let entries = match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(entries) => entries,
        // The process has ended.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(BTreeSet::new()),
        Err(_) => return None,
    };
    let inode = |entry: std::io::Result<fs::DirEntry>| {
        let link = fs::read_link(entry.ok()?.path()).ok()?;
        let text = link.to_str()?;
        text.strip_prefix("socket:[")?
            .strip_suffix(']')?
            .parse()
            .ok()
    };
    Some(entries.filter_map(inode).collect())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_listener_nearest_to_the_address_counts() {
        const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 x 100 0 0 10 0
   1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 12 1 x 100 0 0 10 0
   2: 0200007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1 x 100 0 0 10 0
   3: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 14 1 x 100 0 0 10 0
   4: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 15 1 x
   5: short
";
        assert_eq!(of_port(TABLE, 8080), [11]);
        assert_eq!(of_port(TABLE, 8081), [14]);
        assert!(of_port(TABLE, 8082).is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_own_listener_is_found_and_is_not_a_childs() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = listening(port);
        assert_eq!(own.len(), 1);
        assert!(sockets(Pid::this()).unwrap().contains(&own[0]));
        // A descendant of the parent has the port; no descendant of a process without children
        // does.
        assert_eq!(check(port, Pid::parent()), Ok(()));
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let why = check(port, Pid::from_raw(child.id() as i32)).unwrap_err();
        assert!(why.contains(&format!("pid {}", Pid::this())), "{why}");
        child.kill().unwrap();
        child.wait().unwrap();
        drop(listener);
        assert!(listening(port).is_empty());
    }
}

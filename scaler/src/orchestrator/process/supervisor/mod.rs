//! The supervisor: two small processes between the proxy and each replica's
//! command, so that nothing the command started outlives the replica, the proxy
//! or a supervisor, whichever ends first and however.
//!
//! ```text
//! proxy ──▶ outer supervisor ──▶ inner supervisor ──▶ command ──▶ …
//! ```
//!
//! Each of the three on the left is a *child subreaper* (`prctl(2)`): a descendant that loses its
//! parent becomes a child of the nearest one, whatever sessions or process groups it has made. So
//! each can find all its descendants, and kills all of them once a neighbour is gone. It notices
//! that the process above it has ended, because its standard input is a pipe from there; the
//! process below is its child. Only if all three are killed in the same instant, the kernel kills
//! the command by its parent-death signal, and the next proxy kills its descendants
//! ([`sweep`](super::leftovers::sweep)). If cgroups can be created, the command has its own, and
//! the same three kill it as a whole.
//!
//! Neither supervisor is named `tailback`: `pkill tailback` ends only the proxy, and the
//! supervisors clean up. The first line of the input is a [`Launch`]; each byte after it is an
//! order.
//!
//! The input of the outer supervisor is a socket. Through it, the supervisor also reports the
//! command's exit code, one byte, before it ends. So whoever holds the other end of the socket
//! owns the replica, whether it is the supervisor's parent or a later version of the proxy to
//! which the socket was passed on. These bytes are a protocol between versions: they do not
//! change.

mod launch;

use std::{
    ffi::OsString,
    io::{self, BufRead, Read, Write},
    os::fd::AsRawFd,
    process::{Child, ChildStdin, ExitCode},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, killpg},
        socket,
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};

pub use self::launch::ARGUMENT;
pub(super) use self::launch::{Launch, NAME, SupervisorRole};
use super::{cgroup::Cgroup, process_tree};

/// The order to end the command by the stop signal.
pub(super) const TERMINATE: u8 = b'T';
/// The order to end everything by SIGKILL.
pub(super) const KILL: u8 = b'K';

/// The exit status for a command that cannot be run, as in shells.
pub(super) const CANNOT_RUN: u8 = 127;

/// The pauses between passes of killing double from the first to the longest.
const FIRST_PASS: Duration = Duration::from_millis(2);
const LONGEST_PASS: Duration = Duration::from_millis(500);

/// Runs the [`Launch`] in the first line of standard input, and returns how it ended.
pub fn main(_name: impl IntoIterator<Item = OsString>) -> ExitCode {
    let code = supervise().unwrap_or_else(|why| {
        eprintln!("tailback: {why}");
        CANNOT_RUN
    });
    // Fails if the input is no socket, as for the inner supervisor, or if its other end is closed.
    let _ = socket::send(
        io::stdin().as_raw_fd(),
        &[code],
        socket::MsgFlags::MSG_NOSIGNAL,
    );
    ExitCode::from(code)
}

fn supervise() -> Result<u8, String> {
    let mut line = String::new();
    // Bytes after the line stay in this buffer, from which `obey` reads.
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| error.to_string())?;
    let launch: Launch = serde_json::from_str(&line)
        .map_err(|_| format!("{ARGUMENT} is used by tailback itself to run replicas"))?;
    #[cfg(target_os = "linux")]
    {
        let _ = nix::sys::prctl::set_name(NAME);
        let _ = nix::sys::prctl::set_child_subreaper(true);
    }
    if launch.role == SupervisorRole::Inner {
        // A session of its own: signals to the session or process group of the outer supervisor
        // must not reach this one, which has to clean up.
        let _ = nix::unistd::setsid();
    }
    let mut child = launch.spawn()?;
    let below = child.stdin.take();
    let supervised = Arc::new(Supervised::new(&child, below, launch));
    let obeying = supervised.clone();
    thread::spawn(move || obeying.obey());
    Ok(supervised.reap())
}

/// The processes below a supervisor.
struct Supervised {
    launch: Launch,
    /// The inner supervisor, or the command. It leads a process group of its own.
    main: Pid,
    /// The input of the inner supervisor, in the outer one.
    below: Mutex<Option<ChildStdin>>,
    /// Whether the command was told to end, so that its remaining processes may end by themselves.
    stopping: AtomicBool,
    killing: AtomicBool,
    /// The stop command, once it runs.
    stopper: Mutex<Option<Pid>>,
}

impl Supervised {
    fn new(child: &Child, below: Option<ChildStdin>, launch: Launch) -> Self {
        Self {
            launch,
            // Process ids fit in i32 on every Unix.
            main: Pid::from_raw(child.id() as i32),
            below: Mutex::new(below),
            stopping: AtomicBool::new(false),
            killing: AtomicBool::new(false),
            stopper: Mutex::new(None),
        }
    }

    fn cgroup(&self) -> Option<Cgroup> {
        self.launch.cgroup.clone().map(Cgroup::at)
    }

    /// Follows the orders on standard input, until the process above has ended.
    fn obey(self: &Arc<Self>) {
        let mut order = [0u8];
        loop {
            match io::stdin().read(&mut order) {
                Ok(1..) if order[0] == TERMINATE => self.terminate(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // An order to kill, the end of the process above, or a broken pipe.
                _ => return self.kill(),
            }
        }
    }

    /// Tells the command to end, by the stop signal.
    fn signal_main(&self) {
        let signal = self.launch.stop_signal.parse().unwrap_or(Signal::SIGTERM);
        // Fails if it has ended.
        let _ = killpg(self.main, signal);
    }

    fn is_stopper(&self, pid: Option<Pid>) -> bool {
        let stopper = self.stopper.lock().unwrap_or_else(|e| e.into_inner());
        pid.is_some() && *stopper == pid
    }

    fn terminate(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        match self.launch.role {
            SupervisorRole::Outer => {
                let mut below = self.below.lock().unwrap_or_else(|e| e.into_inner());
                if let Some(below) = below.as_mut() {
                    // Fails only if the inner supervisor has ended.
                    let _ = below.write_all(&[TERMINATE]);
                }
            }
            SupervisorRole::Inner => {
                // Locked during the start, so that the stop command's end is not seen before its
                // id is known.
                let mut stopper = self.stopper.lock().unwrap_or_else(|e| e.into_inner());
                match self.launch.spawn_stop_command(self.main) {
                    Some(Ok(child)) => *stopper = Some(Pid::from_raw(child.id() as i32)),
                    Some(Err(error)) => {
                        eprintln!("tailback: cannot run stopCommand: {error}");
                        self.signal_main();
                    }
                    None => self.signal_main(),
                }
            }
        }
    }

    /// Kills all descendants in passes until none is left: processes that are started meanwhile
    /// are found by the next pass. Then [`reap`](Self::reap) ends this process.
    fn kill(self: &Arc<Self>) {
        if self.killing.swap(true, Ordering::SeqCst) {
            return;
        }
        let supervised = self.clone();
        thread::spawn(move || {
            let mut pause = FIRST_PASS;
            loop {
                if let Some(cgroup) = supervised.cgroup() {
                    cgroup.kill();
                }
                #[cfg(not(target_os = "linux"))]
                let _ = killpg(supervised.main, Signal::SIGKILL);
                process_tree::signal_descendants(Pid::this(), Signal::SIGKILL);
                thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PASS);
            }
        });
    }

    /// Reaps all descendants that end, including orphans, until none is left. Returns the main
    /// child's exit code.
    fn reap(self: &Arc<Self>) -> u8 {
        let mut code = 1;
        loop {
            match waitpid(None, None) {
                Ok(status) if status.pid() == Some(self.main) => {
                    code = code_of(status);
                    self.main_ended();
                }
                // The stop command has ended; now the stop signal follows.
                Ok(status) if self.is_stopper(status.pid()) => self.signal_main(),
                Ok(_) | Err(Errno::EINTR) => {}
                // No child is left, and so no descendant: as a subreaper, this process would be its
                // parent.
                Err(_) => break,
            }
        }
        if let (SupervisorRole::Outer, Some(cgroup)) = (self.launch.role, self.cgroup()) {
            cgroup.kill();
            cgroup.remove();
        }
        code
    }

    /// Ends the processes that the main child left behind: by SIGTERM first if the command was
    /// told to end, otherwise at once.
    fn main_ended(self: &Arc<Self>) {
        let asked = self.stopping.load(Ordering::SeqCst);
        if self.launch.role == SupervisorRole::Inner && asked {
            process_tree::signal_descendants(Pid::this(), Signal::SIGTERM);
        } else {
            self.kill();
        }
    }
}

/// The exit code as shells report it: the code, or 128 plus the signal.
fn code_of(status: WaitStatus) -> u8 {
    let code = match status {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
        _ => 1,
    };
    u8::try_from(code).unwrap_or(1)
}

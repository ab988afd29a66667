//! The supervisor: a small process between the proxy and each replica's command.
//!
//! Its standard input is a pipe from the proxy. A byte on it says how to end
//! the command; its end says that the proxy is gone, even by SIGKILL, and the
//! command and whatever it started in its process group are killed at once.
//! When the command ends by itself, so does what it left behind, and the supervisor
//! ends with the same status.

use std::{
    ffi::OsString,
    io::{self, Read},
    process::{Command, ExitCode, ExitStatus, Stdio},
    thread,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// The first argument that makes the proxy's binary a supervisor.
pub const ARGUMENT: &str = "__supervise";

/// Written to a supervisor: end with SIGTERM.
pub(super) const TERMINATE: u8 = b'T';
/// Written to a supervisor: end with SIGKILL.
pub(super) const KILL: u8 = b'K';

/// Exit status of a shell for a command that cannot be run; ours too.
const CANNOT_RUN: u8 = 127;

/// Runs the command given by `words` and keeps it. Returns how it ended.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut words = words.into_iter();
    let Some(program) = words.next() else {
        eprintln!("tailback: {ARGUMENT} is used by tailback itself to run replicas");
        return ExitCode::from(CANNOT_RUN);
    };
    // Orphans of the command become the supervisor's children, not init's.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_child_subreaper(true);
    let mut command = Command::new(&program);
    command.args(words).stdin(Stdio::null());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!(
                "tailback: cannot run {}: {error}",
                program.to_string_lossy()
            );
            return ExitCode::from(CANNOT_RUN);
        }
    };
    // Process ids fit in i32 on every Unix.
    let group = Pid::from_raw(child.id() as i32);
    thread::spawn(move || obey(group));
    let ended = child.wait();
    let _ = killpg(group, Signal::SIGKILL);
    match ended {
        Ok(status) => ExitCode::from(code(status)),
        Err(error) => {
            eprintln!(
                "tailback: cannot wait for {}: {error}",
                program.to_string_lossy()
            );
            ExitCode::FAILURE
        }
    }
}

/// Follows the orders on standard input until the proxy is gone.
fn obey(group: Pid) {
    let mut order = [0u8];
    loop {
        match io::stdin().read(&mut order) {
            Ok(1..) if order[0] == TERMINATE => {
                let _ = killpg(group, Signal::SIGTERM);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // An order to kill, the end of the proxy, or a broken pipe.
            _ => {
                let _ = killpg(group, Signal::SIGKILL);
                return;
            }
        }
    }
}

/// As shells report it: the exit code, or 128 + the signal.
fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status
        .code()
        .or_else(|| status.signal().map(|s| 128 + s))
        .unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

//! What a supervisor launches, and how.

use std::{
    ffi::CStr,
    fs,
    io::{self, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::resource::{Resource, setrlimit},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use crate::orchestrator::process::{cgroup::Cgroup, user::User};

/// The first argument that makes the proxy's binary a supervisor.
pub const ARGUMENT: &str = "__supervise";

/// The name of a supervisor among the processes of the host.
pub(in crate::orchestrator::process) const NAME: &CStr = c"replica-superv";
/// The name in listings that show more than 15 characters.
const LONG_NAME: &str = "replica-supervisor";

/// The two kinds of supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::orchestrator::process) enum SupervisorRole {
    /// The proxy's child: runs the inner one.
    Outer,
    /// The outer one's child: runs the command.
    Inner,
}

/// The order to a supervisor: the first line of its input, in JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::orchestrator::process) struct Launch {
    pub role: SupervisorRole,
    /// The replica's name. It is also an argument, so that process listings show it.
    pub replica: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// The folder of the command's control group.
    pub cgroup: Option<PathBuf>,
    /// An environment variable that marks the command and its descendants as this replica's.
    pub mark: Option<(String, String)>,
    /// The signal that tells the command to end.
    pub stop_signal: String,
    /// A program and its arguments that run before that signal; empty: none.
    #[serde(default)]
    pub stop_command: Vec<String>,
    /// The user to run the command as.
    pub user: Option<User>,
    /// The nice value, -20 to 19.
    pub nice: Option<i8>,
    /// The limit on open files for each of its processes.
    pub open_files: Option<u64>,
}

impl Launch {
    /// The command that starts a supervisor, without its input: the program `tailback` under
    /// another name.
    pub(in crate::orchestrator::process) fn supervisor(&self, tailback: &Path) -> Command {
        let mut command = Command::new(tailback);
        command.arg0(LONG_NAME).args([ARGUMENT, &self.replica]);
        command
    }

    /// The line that a supervisor reads from its input.
    pub(in crate::orchestrator::process) fn line(&self) -> Result<String, String> {
        let json = serde_json::to_string(self).map_err(|error| error.to_string())?;
        Ok(json + "\n")
    }

    /// Starts the next process: the inner supervisor, or the command.
    pub(super) fn spawn(&self) -> Result<Child, String> {
        match self.role {
            SupervisorRole::Outer => self.spawn_inner(),
            SupervisorRole::Inner => self.spawn_command(),
        }
    }

    fn spawn_inner(&self) -> Result<Child, String> {
        let inner = Self {
            role: SupervisorRole::Inner,
            ..self.clone()
        };
        let this = fs::canonicalize("/proc/self/exe").map(|_| PathBuf::from("/proc/self/exe"));
        let program = this
            .or_else(|_| std::env::current_exe())
            .map_err(|error| format!("cannot find the program of the supervisor: {error}"))?;
        let mut child = inner
            .supervisor(&program)
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start the inner supervisor: {error}"))?;
        let line = inner.line()?;
        if let Some(input) = child.stdin.as_mut() {
            input
                .write_all(line.as_bytes())
                .map_err(|error| format!("the inner supervisor ended at once: {error}"))?;
        }
        Ok(child)
    }

    fn spawn_command(&self) -> Result<Child, String> {
        let Some((program, words)) = self.command.split_first() else {
            return Err("the command is empty".into());
        };
        let mut command = Command::new(program);
        command
            .args(words)
            .envs(self.mark.clone())
            .stdin(Stdio::null())
            .process_group(0);
        let cgroup = self.cgroup.clone().map(Cgroup::at);
        let entrance = cgroup.and_then(|cgroup| cgroup.entrance().ok());
        self.limit()?;
        let user = self.user.clone();
        let groups = user.as_ref().map(User::groups).unwrap_or_default();
        let enter = move || {
            if let Some(entrance) = &entrance {
                // Without the control group, the command's processes can only be found by their
                // parents.
                let _ = (&*entrance).write(b"0");
            }
            if let Some(user) = &user {
                user.become_it(&groups)?;
            }
            // A change of user clears this setting, so it comes after that. The signal is sent
            // when the thread that forks ends: the main thread, which lasts as long as the
            // supervisor.
            #[cfg(target_os = "linux")]
            let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
            Ok(())
        };
        // SAFETY: what runs between fork and exec must be sound in a copy of a process whose
        // other threads are gone. This process has none: the supervisor starts its threads
        // after this. The closure makes system calls alone (`write` to a file that was opened
        // before, `setgroups`, `setgid`, `setuid`, `prctl`) and does not allocate.
        unsafe { command.pre_exec(enter) };
        command
            .spawn()
            .map_err(|error| format!("cannot run {program}: {error}"))
    }

    /// Starts the command that tells the main process, `main`, to end; `None`: there is none.
    pub(super) fn spawn_stop_command(&self, main: Pid) -> Option<io::Result<Child>> {
        let (program, words) = self.stop_command.split_first()?;
        let mut command = Command::new(program);
        command
            .args(words)
            .envs(self.mark.clone())
            .env("MAINPID", main.to_string())
            .stdin(Stdio::null())
            .process_group(0);
        if let Some(user) = &self.user {
            user.apply_to(&mut command);
        }
        Some(command.spawn())
    }

    /// Applies the limits to this process; the command inherits them.
    fn limit(&self) -> Result<(), String> {
        if let Some(files) = self.open_files {
            setrlimit(Resource::RLIMIT_NOFILE, files, files).map_err(|error| {
                format!("cannot set limits.openFiles to {files}: {error}; more than the hard limit (ulimit -Hn) is for root")
            })?;
        }
        if let Some(nice) = self.nice {
            // SAFETY: takes three numbers and touches no memory of ours.
            let failed = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, i32::from(nice)) };
            if failed != 0 {
                let error = io::Error::last_os_error();
                return Err(format!(
                    "cannot set limits.nice to {nice}: {error}; a value below the proxy's own is for root"
                ));
            }
        }
        Ok(())
    }
}

//! A proxy that another process has taken over from.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use nix::{
    sys::wait::{WaitPidFlag, WaitStatus, waitpid},
    unistd::Pid,
};

use super::{Tailback, processes_with, tailback};

impl Tailback {
    /// Lets a new process of the program take over, by `tailback upgrade`; what that prints.
    ///
    /// # Errors
    /// What it says where the upgrade failed.
    ///
    /// # Panics
    /// If the command cannot be run.
    pub fn upgrade(&mut self) -> Result<String, String> {
        // What its parent leaves behind becomes our child, to be waited for.
        nix::sys::prctl::set_child_subreaper(true).expect("a subreaper");
        let output = tailback()
            .args(["upgrade", "--admin", &self.admin.to_string()])
            .output()
            .expect("tailback runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let pid = self.page("/server_info")["pid"].as_i64().expect("its id");
        self.pid = Pid::from_raw(i32::try_from(pid).expect("an id"));
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }

    /// Whether processes that it has taken over from still run.
    #[must_use]
    pub fn has_predecessors(&mut self) -> bool {
        let own = Pid::from_raw(self.child.id() as i32);
        if own != self.pid && self.child.try_wait().expect("its status").is_none() {
            return true;
        }
        // Each of them has us as its parent once those before it have ended.
        let folder = self.folder.path().to_string_lossy().into_owned();
        processes_with(&folder)
            .iter()
            .any(|&pid| pid != self.pid.as_raw())
    }
}

/// How a child of ours ended that we did not start, if it has.
pub(super) fn reaped(pid: Pid) -> Option<ExitStatus> {
    let raw = match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(_, code)) => code << 8,
        Ok(WaitStatus::Signaled(_, signal, _)) => signal as i32,
        _ => return None,
    };
    Some(ExitStatus::from_raw(raw))
}

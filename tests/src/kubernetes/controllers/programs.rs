//! The programs that pods are, as processes of this machine.

use std::{
    collections::HashMap,
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The programs that run, by their pod's uid. They are killed when this is
/// dropped.
#[derive(Debug, Default)]
pub struct Programs(Mutex<HashMap<String, Child>>);

impl Programs {
    /// Ends all of them.
    ///
    /// # Panics
    /// If another use of them did.
    pub fn kill_all(&self) {
        for (_, mut child) in self.0.lock().expect("programs").drain() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts a pod's program.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(&self, pod: &str, mut command: Command) {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = child.spawn().expect("the pod's program starts");
        self.0.lock().expect("programs").insert(pod.into(), child);
    }

    /// Whether a pod's program has started and not ended.
    ///
    /// # Panics
    /// If another use of them did.
    #[must_use]
    pub fn is_running(&self, pod: &str) -> bool {
        let mut programs = self.0.lock().expect("programs");
        programs
            .get_mut(pod)
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Sends a pod's program a signal, if it runs.
    ///
    /// # Panics
    /// If another use of them did.
    pub fn signal(&self, pod: &str, signal: Signal) {
        if !self.is_running(pod) {
            return;
        }
        if let Some(child) = self.0.lock().expect("programs").get(pod) {
            let _ = kill(Pid::from_raw(child.id() as i32), signal);
        }
    }

    /// Kills a pod's program and forgets it.
    ///
    /// # Panics
    /// If another use of them did.
    pub fn end(&self, pod: &str) {
        let child = self.0.lock().expect("programs").remove(pod);
        if let Some(mut child) = child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        self.kill_all();
    }
}

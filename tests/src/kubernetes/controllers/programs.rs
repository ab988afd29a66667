//! The programs of pods, as processes of this machine.

use std::{
    collections::HashMap,
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The running programs by their pod's uid. Dropping this kills them.
#[derive(Debug)]
pub struct Programs(Mutex<Option<HashMap<String, Child>>>);

impl Default for Programs {
    fn default() -> Self {
        Self(Mutex::new(Some(HashMap::new())))
    }
}

impl Programs {
    /// Kills all programs, and prevents further starts.
    ///
    /// # Panics
    /// If another thread has panicked while it used them.
    pub fn kill_all(&self) {
        let all = self.0.lock().expect("programs").take();
        for (_, mut child) in all.into_iter().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts a pod's program.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(&self, pod: &str, mut command: Command) {
        let mut programs = self.0.lock().expect("programs");
        let Some(programs) = &mut *programs else {
            return;
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = child.spawn().expect("the pod's program starts");
        programs.insert(pod.into(), child);
    }

    /// Whether a pod's program has started and not ended.
    ///
    /// # Panics
    /// If another thread has panicked while it used them.
    #[must_use]
    pub fn is_running(&self, pod: &str) -> bool {
        let mut programs = self.0.lock().expect("programs");
        let child = programs.as_mut().and_then(|all| all.get_mut(pod));
        child.is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Sends a pod's program a signal, if it runs.
    ///
    /// # Panics
    /// If another thread has panicked while it used them.
    pub fn signal(&self, pod: &str, signal: Signal) {
        if !self.is_running(pod) {
            return;
        }
        let programs = self.0.lock().expect("programs");
        if let Some(child) = programs.as_ref().and_then(|all| all.get(pod)) {
            let _ = kill(Pid::from_raw(child.id() as i32), signal);
        }
    }

    /// Kills a pod's program and forgets it.
    ///
    /// # Panics
    /// If another thread has panicked while it used them.
    pub fn end(&self, pod: &str) {
        let mut programs = self.0.lock().expect("programs");
        if let Some(mut child) = programs.as_mut().and_then(|all| all.remove(pod)) {
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

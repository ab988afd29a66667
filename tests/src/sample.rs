//! The sample server as a replica that nobody but the test starts and stops.

use std::{
    net::{SocketAddr, TcpListener},
    process::{Child, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{eventually, http, process};

/// A running sample server. Dropping it kills it.
#[derive(Debug)]
pub struct SampleServer {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
}

impl SampleServer {
    /// Starts one that serves the model `m` with these arguments, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_with(&["--model", "m"], arguments)
    }

    /// As [`start`](Self::start), of one that serves what is loaded into it.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_many(arguments: &[&str]) -> Self {
        Self::start_with(&["--multi-model"], arguments)
    }

    fn start_with(models: &[&str], arguments: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let child = process::sample_server()
            .args(models)
            .args(["--port", &address.port().to_string()])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the sample server starts");
        eventually("the sample server", || {
            http::call(address, "GET", "/v2/health/ready", b"").is_ok_and(|r| r.status == 200)
        });
        Self { address, child }
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it is gone.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it runs");
    }
}

impl Drop for SampleServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! Runs the built `tailback` as a user does.

mod list;
mod upgrade;

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

pub use self::list::{processes_with, resident_bytes, servers_of, unique};
use crate::{PATIENCE, build, eventually, http};

/// A running proxy with its own manifests. Dropping it kills the proxy.
pub struct Tailback {
    child: Child,
    /// The process that serves: another one after an upgrade.
    pid: Pid,
    /// The address of the data plane.
    pub address: SocketAddr,
    /// The admin address.
    pub admin: SocketAddr,
    folder: TempDir,
    log: Arc<Mutex<String>>,
}

/// The folder of the programs that cargo has built.
fn built() -> PathBuf {
    // …/target/debug/deps/test-hash, or …/target/debug/program
    let this = env::current_exe().expect("the test's own path");
    let folder = this.parent().expect("a folder");
    let above = folder.parent().filter(|_| folder.ends_with("deps"));
    above.unwrap_or(folder).to_owned()
}

/// The path of `tailback` or `sample-server`. Builds them if they are missing or older than their
/// sources.
///
/// # Errors If it cannot be built.
pub fn program(name: &str) -> Result<PathBuf, String> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    BUILT.get_or_init(|| build::programs(&built())).clone()?;
    Ok(built().join(name))
}

/// A command that runs the built binary, with the example server in `PATH`.
///
/// # Panics
/// If they cannot be built.
#[must_use]
pub fn tailback() -> Command {
    let both = program("sample-server").and_then(|_| program("tailback"));
    let program = both.unwrap_or_else(|missing| panic!("{missing}"));
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = [built()].into_iter().chain(env::split_paths(&path));
    let mut command = Command::new(program);
    // Settings in the environment of the tests must not reach the program.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if ["TAILBACK_", "SELDON_", "OTEL_"]
            .iter()
            .any(|own| text.starts_with(own))
        {
            command.env_remove(name);
        }
    }
    command
        .env("PATH", env::join_paths(folders).expect("a path"))
        .env("TAILBACK_LOG", "info");
    command
}

/// A command that runs the example server.
///
/// # Panics
/// If it cannot be built.
#[must_use]
pub fn sample_server() -> Command {
    Command::new(program("sample-server").unwrap_or_else(|missing| panic!("{missing}")))
}

impl Tailback {
    /// Serves `manifests`, with these environment variables, on free ports.
    ///
    /// # Panics
    /// If it does not start; the message has its log.
    #[must_use]
    pub fn start(manifests: &str, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("manifests.yaml"), manifests).expect("manifests");
        Self::serve(tailback(), folder.path().to_owned(), folder, variables)
    }

    /// As [`start`](Self::start), through `wrapper`: a program with arguments that executes the
    /// command that follows them.
    ///
    /// # Panics
    /// If it does not start; the message has its log.
    #[must_use]
    pub fn start_under(wrapper: &[&str], manifests: &str) -> Self {
        let plain = tailback();
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(plain.get_program());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("manifests.yaml"), manifests).expect("manifests");
        Self::serve(command, folder.path().to_owned(), folder, &[])
    }

    /// As [`start`](Self::start), by the program at `program`: another name of the built one.
    ///
    /// # Panics
    /// If it does not start; says what it logged.
    #[must_use]
    pub fn start_by(program: &Path, manifests: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program);
        for (name, value) in tailback().get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("manifests.yaml"), manifests).expect("manifests");
        Self::serve(command, folder.path().to_owned(), folder, variables)
    }

    /// Serves the manifests in `path`.
    ///
    /// # Panics
    /// If it does not start; the message has its log.
    #[must_use]
    pub fn start_path(path: PathBuf, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::serve(tailback(), path, folder, variables)
    }

    fn serve(
        mut command: Command,
        path: PathBuf,
        folder: TempDir,
        variables: &[(&str, &str)],
    ) -> Self {
        let mut child = command
            .arg("serve")
            .arg(path)
            .envs([
                ("TAILBACK_LISTEN", "127.0.0.1:0"),
                ("TAILBACK_ADMIN", "127.0.0.1:0"),
                ("TAILBACK_WORKERS", "2"),
            ])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tailback starts");
        let log = Arc::new(Mutex::new(String::new()));
        collect(child.stderr.take().expect("stderr"), log.clone());
        let (mut address, mut admin) = (None, None);
        for line in BufReader::new(child.stdout.take().expect("stdout"))
            .lines()
            .map_while(Result::ok)
        {
            let mut words = line.split_whitespace();
            let url = |word: Option<&str>| word?.split_once("://")?.1.parse().ok();
            match words.next() {
                Some("requests") => address = url(words.next()),
                Some("admin") => admin = url(words.next()),
                _ => {}
            }
            if let (Some(address), Some(admin)) = (address, admin) {
                return Self {
                    pid: Pid::from_raw(child.id() as i32),
                    child,
                    address,
                    admin,
                    folder,
                    log,
                };
            }
        }
        let status = child.wait();
        panic!(
            "tailback ended early, {status:?}: {}",
            log.lock().expect("log")
        );
    }

    /// Replaces the manifests. Tailback notices the change by itself.
    ///
    /// # Panics
    /// If they cannot be written.
    pub fn rewrite(&self, manifests: &str) {
        fs::write(self.folder.path().join("manifests.yaml"), manifests).expect("manifests");
    }

    /// Everything logged so far.
    ///
    /// # Panics If the thread that collects the log has panicked.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().expect("log").clone()
    }

    /// Waits until the log has `text`: a line is written beside the work that it tells of, so that its effects may be
    /// seen first.
    ///
    /// # Panics If it has not within [`crate::PATIENCE`]. The message has the log.
    pub fn logs(&self, text: &str) {
        let start = Instant::now();
        while !self.log().contains(text) {
            assert!(
                start.elapsed() < PATIENCE,
                "{text:?} is not in:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// An admin page as JSON.
    ///
    /// # Panics If it is not JSON.
    #[must_use]
    pub fn page(&self, path: &str) -> Value {
        let response = http::call(self.admin, "GET", path, b"").expect("an answer");
        serde_json::from_slice(&response.body).expect("JSON")
    }

    /// The model's entry on `/models`.
    ///
    /// # Panics If there is no such entry.
    #[must_use]
    pub fn model(&self, name: &str) -> Value {
        let models = self.page("/models")["models"].clone();
        let models = models.as_array().expect("a list");
        models
            .iter()
            .find(|m| m["name"] == name)
            .cloned()
            .unwrap_or_else(|| panic!("no model {name}: {models:?}"))
    }

    /// Why a model's replica failed last; empty if none has failed.
    ///
    /// # Panics
    /// If there is no such model.
    #[must_use]
    pub fn failure(&self, model: &str) -> String {
        let failure = &self.model(model)["replicas"]["failure"];
        failure.as_str().unwrap_or_default().to_owned()
    }

    /// How many replicas of a model are ready.
    #[must_use]
    pub fn ready(&self, model: &str) -> usize {
        self.model(model)["replicas"]["ready"]
            .as_array()
            .map_or(0, Vec::len)
    }

    /// The text of `/metrics`.
    ///
    /// # Panics
    /// If there is no answer.
    #[must_use]
    pub fn metrics(&self) -> String {
        http::call(self.admin, "GET", "/metrics", b"")
            .expect("an answer")
            .text()
    }

    /// The value of a series, written as in `/metrics`: `name{label="value"}`; 0
    /// if it is not there.
    #[must_use]
    pub fn metric(&self, series: &str) -> f64 {
        let text = self.metrics();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok())
            .unwrap_or_default()
    }

    /// How many of a model's requests ended with this outcome.
    #[must_use]
    pub fn outcome(&self, model: &str, outcome: &str) -> u64 {
        self.metric(&format!(
            "tailback_model_requests_total{{model=\"{model}\",outcome=\"{outcome}\"}}"
        )) as u64
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Its resident memory in bytes.
    ///
    /// # Panics
    /// If it is gone.
    #[must_use]
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.expect("its size") * 1024
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it is gone.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it runs");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        let first = self.pid.as_raw() as u32 == self.child.id();
        eventually("the end of tailback", || {
            status = match first {
                true => self.child.try_wait().expect("its status"),
                false => {
                    let _ = self.child.try_wait();
                    upgrade::reaped(self.pid)
                }
            };
            status.is_some()
        });
        status.expect("its status")
    }
}

impl Drop for Tailback {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in processes_with(&self.folder.path().to_string_lossy()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        if thread::panicking() {
            eprintln!("--- tailback's log\n{}---", self.log());
        }
    }
}

fn collect(mut output: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = output.read(&mut piece) {
            into.lock()
                .expect("log")
                .push_str(&String::from_utf8_lossy(&piece[..length]));
        }
    });
}

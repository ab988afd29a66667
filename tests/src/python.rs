//! Third-party clients and servers in Python. `scripts/setup tests` installs them into an
//! environment.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
};

/// The folder of the repository.
///
/// # Panics
/// Never: this crate is in a folder of it.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a folder above")
        .to_owned()
}

/// The path of a program in the environment.
///
/// # Panics
/// If it is not installed.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    installed("target/venv", name)
}

/// A command that runs a script of `tests/python`.
#[must_use]
pub fn script(name: &str, arguments: &[&str]) -> Command {
    run_by(program("python"), name, arguments)
}

/// As [`script`], with the packages in `tests/python/deploy.txt`.
#[must_use]
pub fn deploy_script(name: &str, arguments: &[&str]) -> Command {
    run_by(installed("target/venv-deploy", "python"), name, arguments)
}

/// The Python that has Triton Inference Server (`tests/python/triton-server.txt`); `None`: it does not
/// come as a package for this system.
#[must_use]
pub fn triton_python() -> Option<PathBuf> {
    let python = root().join("target/venv-triton/bin/python");
    python.exists().then_some(python)
}

/// The program of `tests/python/schemathesis.txt`.
#[must_use]
pub fn schemathesis() -> Command {
    let mut command = Command::new(installed("target/venv-schemathesis", "schemathesis"));
    let settings = root().join("tests/python/schemathesis.toml");
    command.arg("--config-file").arg(settings);
    command
}

fn installed(environment: &str, name: &str) -> PathBuf {
    let program = root().join(environment).join("bin").join(name);
    assert!(program.exists(), "first: scripts/setup tests");
    program
}

fn run_by(python: PathBuf, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(python);
    command
        .arg(root().join("tests/python").join(name))
        .args(arguments);
    command
}

/// Runs a command to its end.
///
/// # Panics If it fails. The message has its output.
pub fn run(command: Command) {
    let _ = printed(command);
}

/// As [`run`]. Returns what it has printed.
///
/// # Panics If it fails. The message has its output.
#[must_use]
pub fn printed(mut command: Command) -> String {
    let output = command.output().expect("a program");
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A script that runs beside the test and continues at each line that it is sent. Dropping it
/// kills the script.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Running {
    /// Starts it.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a program");
        let stdout = child.stdout.take().expect("its output");
        let (tell, lines) = std::sync::mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
        }
    }

    /// The next line it prints.
    ///
    /// # Panics
    /// If none comes.
    #[must_use]
    pub fn line(&self) -> String {
        self.lines
            .recv_timeout(crate::PATIENCE)
            .expect("a line of the script")
    }

    /// Lets it continue, by sending it a line.
    ///
    /// # Panics
    /// If it has ended.
    pub fn go_on(&mut self) {
        let stdin = self.stdin.as_mut().expect("its input");
        stdin.write_all(b"\n").expect("a running script");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not end well.
    pub fn end(mut self) {
        let mut status = None;
        crate::eventually("the script's end", || {
            status = self.child.try_wait().expect("its status");
            status.is_some()
        });
        assert!(status.is_some_and(|s| s.success()), "{status:?}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! A replica's supervisor, as seen by the proxy that owns it: a socket for orders and for the
//! command's exit code, and the command's outputs. They can be passed on to another process, which
//! owns the replica from then on.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net,
    },
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use nix::unistd::Pid;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    process::{Child, Command},
    time::timeout,
};

use super::{
    host::Host,
    logs::{Output, PausedOutput, Sink},
    supervisor::Launch,
};
use crate::replica_logs::OutputStream;

/// How long to wait for output that may still be in a pipe after the command has ended.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A supervisor with its socket and outputs. Dropping it without passing it on ends the replica.
#[derive(Debug)]
pub(super) struct Supervision {
    host: Arc<Host>,
    launch: Launch,
    /// The supervisor's id.
    id: Option<u32>,
    /// The supervisor's process, if this process started it.
    child: Option<Child>,
    link: UnixStream,
    /// The command's exit code, if the supervisor has reported it.
    code: Option<u8>,
    sink: Sink,
    output: Output,
    errors: Output,
}

/// The descriptors of a [`Supervision`], which are passed on with its [`Launch`] and the
/// supervisor's id.
#[derive(Debug)]
pub(super) struct Descriptors {
    pub link: OwnedFd,
    pub output: PausedOutput,
    pub errors: PausedOutput,
}

impl Supervision {
    /// Starts `launch` by `command`, the supervisor's command line.
    ///
    /// # Errors
    /// If the supervisor cannot be started.
    pub(super) async fn start(
        host: Arc<Host>,
        mut command: Command,
        launch: Launch,
        sink: Sink,
    ) -> Result<Self, String> {
        let orders = launch.line()?;
        let text = |error: io::Error| format!("cannot start its supervisor: {error}");
        let (link, input) = net::UnixStream::pair().map_err(text)?;
        let (output, into_output) = io::pipe().map_err(text)?;
        let (errors, into_errors) = io::pipe().map_err(text)?;
        command
            .stdin(Stdio::from(OwnedFd::from(input)))
            .stdout(into_output)
            .stderr(into_errors);
        let child = host.spawn(&mut command).map_err(text)?;
        // Closes this process's copies of the supervisor's ends.
        drop(command);
        let descriptors = Descriptors {
            link: link.into(),
            output: OwnedFd::from(output).into(),
            errors: OwnedFd::from(errors).into(),
        };
        let id = child.id();
        let mut this = Self::adopt(host, launch, id, descriptors, sink).map_err(text)?;
        this.child = Some(child);
        // Fails only if the supervisor has ended, which is noticed when it is waited for.
        let _ = this.link.write_all(orders.as_bytes()).await;
        Ok(this)
    }

    /// Takes over a supervisor that another process has started and passed on.
    ///
    /// # Errors
    /// If the descriptors are not those of a supervisor.
    pub(super) fn adopt(
        host: Arc<Host>,
        launch: Launch,
        id: Option<u32>,
        descriptors: Descriptors,
        sink: Sink,
    ) -> io::Result<Self> {
        let link = net::UnixStream::from(descriptors.link);
        link.set_nonblocking(true)?;
        let name = launch.replica.clone();
        let follow = |output, stream| Output::follow(name.clone(), output, stream, sink.clone());
        Ok(Self {
            output: follow(descriptors.output, OutputStream::Stdout)?,
            errors: follow(descriptors.errors, OutputStream::Stderr)?,
            host,
            launch,
            id,
            child: None,
            link: UnixStream::from_std(link)?,
            code: None,
            sink,
        })
    }

    /// Passes the supervisor on: this process reads nothing more from it.
    ///
    /// # Errors
    /// If the descriptors cannot be released.
    pub(super) async fn release(self) -> io::Result<Descriptors> {
        let output = self.output.release().await?;
        Ok(Descriptors {
            link: self.link.as_fd().try_clone_to_owned()?,
            output,
            errors: self.errors.release().await?,
        })
    }

    /// What the supervisor was asked to launch.
    pub(super) fn launch(&self) -> &Launch {
        &self.launch
    }

    /// The receiver of the lines that it prints.
    pub(super) fn sink(&self) -> Sink {
        self.sink.clone()
    }

    /// The supervisor's id.
    pub(super) fn id(&self) -> Option<u32> {
        self.id
    }

    /// The supervisor's id, as a [`Pid`].
    pub(super) fn pid(&self) -> Option<Pid> {
        let id = self.id.and_then(|id| i32::try_from(id).ok());
        id.map(Pid::from_raw)
    }

    /// Waits until the command and all its descendants have ended. Returns the command's exit code,
    /// or `None` if the supervisor was killed before it could report that. Cancel safe.
    pub(super) async fn ended(&mut self) -> Option<u8> {
        let mut code = [0];
        while let Ok(1..) = self.link.read(&mut code).await {
            self.code = Some(code[0]);
        }
        if let Some(child) = &mut self.child {
            // The supervisor has ended: reaps it.
            let _ = child.wait().await;
        }
        let orderly = self.code.is_some();
        self.host.ended(self.id, &self.launch, orderly).await;
        self.code
    }

    /// Sends an order to the supervisor.
    pub(super) async fn order(&mut self, order: u8) {
        // Fails only if the supervisor has ended, which is what orders aim at.
        let _ = self.link.write_all(&[order]).await;
    }

    /// A sentence on why the command ended with `code`.
    pub(super) async fn why_ended(&mut self, code: Option<u8>, when: &str) -> String {
        let _ = timeout(LAST_WORDS, self.errors.ended()).await;
        let how = match code {
            Some(code) if code > 128 => format!("ended by signal {}", code - 128),
            Some(code) => format!("exited with status {code}"),
            None => "was ended, as its supervisor was killed".into(),
        };
        let words = self.sink.last_errors();
        let words = words.map(|words| format!(": {words}")).unwrap_or_default();
        format!("{how} {when}{words}")
    }
}

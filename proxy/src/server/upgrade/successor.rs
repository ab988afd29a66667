//! The running process's side of an upgrade: it starts its successor and hands over to it.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use tailback_scaler::{
    orchestrator::process::{LINEAGE, lineage},
    run::{HandedOut, Scaler},
};
use tokio::{sync::watch, task::spawn_blocking};

use super::{HandOver, Hello, PROTOCOL, Reply, channel::Channel};
use crate::{server::listen::Listeners, telemetry::build_info::VERSION};

/// How long the new process may take to load its configuration and open what it needs.
const TO_BE_READY: Duration = Duration::from_secs(60);
/// How long it may then take to lead the replicas and accept connections.
const TO_TAKE: Duration = Duration::from_secs(20);
/// How long it may take to exit after its socket has closed.
const TO_END: Duration = Duration::from_secs(1);

/// How this program was started: working directory and arguments.
#[derive(Clone, Debug)]
pub(in crate::server) struct Program {
    directory: PathBuf,
    words: Vec<OsString>,
}

/// A new process that is ready, and waits for the hand-over.
pub(in crate::server) struct Handover {
    process: NewProcess,
    channel: Channel,
    version: String,
}

/// The process that has taken over.
pub(in crate::server) struct Successor {
    pub pid: u32,
    pub version: String,
    socket: UnixStream,
}

/// The new process. Dropping this kills it, unless it was released.
struct NewProcess(Option<Child>);

// === impl Program ===

impl Program {
    /// The program as it was started, to start it again. Call it before the working directory
    /// changes.
    ///
    /// # Errors
    /// If the working directory no longer exists.
    pub(in crate::server) fn this() -> Result<Self> {
        Ok(Self {
            directory: env::current_dir().context("cannot find the working directory")?,
            words: env::args_os().collect(),
        })
    }

    /// The file to execute: looked up now by the name that this program was started with, as a
    /// shell does. So a symbolic link that points to another version by now is followed.
    fn file(&self) -> io::Result<PathBuf> {
        let name = self.words.first().map(OsString::as_os_str);
        let found = name.and_then(|name| self.find(name));
        found.map_or_else(env::current_exe, Ok)
    }

    fn find(&self, name: &OsStr) -> Option<PathBuf> {
        let name = Path::new(name);
        if name.components().count() > 1 {
            return Some(self.directory.join(name));
        }
        let path = env::var_os("PATH")?;
        let folders = env::split_paths(&path).map(|folder| self.directory.join(folder));
        folders.map(|folder| folder.join(name)).find(|file| {
            fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        })
    }

    fn start(&self, socket: UnixStream) -> Result<Child> {
        let file = self.file().context("cannot find the program")?;
        let mut command = Command::new(&file);
        if let Some(name) = self.words.first() {
            command.arg0(name);
        }
        command
            .args(self.words.iter().skip(1))
            .env(LINEAGE, lineage().unwrap_or_default())
            // Socket activation was meant for this process, which passes its sockets on itself.
            .env_remove("LISTEN_PID")
            .env_remove("LISTEN_FDS")
            .env_remove("LISTEN_FDNAMES")
            .stdin(Stdio::from(OwnedFd::from(socket)));
        command
            .spawn()
            .with_context(|| format!("cannot start {}", file.display()))
    }
}

// === impl Handover ===

impl Handover {
    /// Starts the program again, sends it the sockets of `listeners`, and waits until it is ready.
    /// Dropping the future kills the new process.
    ///
    /// # Errors
    /// Why it cannot take over, as a sentence for the user who asked for the upgrade.
    pub(in crate::server) async fn prepare(program: Program, listeners: Listeners) -> Result<Self> {
        if std::process::id() == 1 {
            bail!(
                "this process is PID 1 of its container, which would end with it: replace the container instead"
            );
        }
        let (here, there) = UnixStream::pair()?;
        let mut process = NewProcess(Some(program.start(there)?));
        let channel = Channel::new(here);
        let (channel, answer) = spawn_blocking(move || greet(channel, &listeners)).await?;
        match answer {
            Ok(Some(Reply::Ready { version })) => Ok(Self {
                process,
                channel,
                version,
            }),
            other => Err(process.why(other, TO_BE_READY).await),
        }
    }

    /// Hands over. Returns once the new process is the proxy.
    ///
    /// # Errors
    /// Why it is not. This process goes on as before.
    pub(in crate::server) async fn commit(self, scaler: &Scaler) -> Result<Successor> {
        let Self {
            mut process,
            channel,
            version,
        } = self;
        let handed_out = scaler
            .hand_out()
            .await
            .context("cannot hand the replicas over")?;
        let (channel, answer) = spawn_blocking(move || hand_over(channel, handed_out)).await?;
        if let Ok(Some(Reply::Took)) = answer {
            return Ok(Successor {
                pid: process.release(),
                version,
                socket: channel.into_socket(),
            });
        }
        let why = process.why(answer, TO_TAKE).await;
        // Kills the new process before this one manages the replicas again.
        drop(process);
        scaler.take_back().await;
        Err(why)
    }
}

type Answer = io::Result<Option<Reply>>;

fn greet(mut channel: Channel, listeners: &Listeners) -> (Channel, Answer) {
    let hello = Hello {
        protocol: PROTOCOL,
        version: VERSION.to_owned(),
        pid: std::process::id(),
    };
    let sockets = [listeners.requests.as_fd(), listeners.admin.as_fd()];
    let answer = channel
        .wait_at_most(TO_BE_READY)
        .and_then(|()| channel.send(&hello, &sockets))
        .and_then(|()| channel.receive());
    (channel, answer.map(|reply| reply.map(|(reply, _)| reply)))
}

fn hand_over(mut channel: Channel, handed_out: HandedOut) -> (Channel, Answer) {
    let exchange = |channel: &mut Channel| {
        let HandedOut { inherited, parcels } = handed_out;
        let message = HandOver {
            inherited,
            parcels: parcels.len(),
        };
        channel.wait_at_most(TO_TAKE)?;
        channel.send(&message, &[])?;
        for parcel in &parcels {
            channel.send_parcel(parcel)?;
        }
        channel.receive()
    };
    let answer = exchange(&mut channel);
    (channel, answer.map(|reply| reply.map(|(reply, _)| reply)))
}

// === impl Successor ===

impl Successor {
    /// Lets the successor manage the replicas. The receiver gets `true` once the successor has
    /// ended.
    ///
    /// # Errors
    /// If the socket cannot be configured.
    pub(in crate::server) fn follow(self, scaler: &Scaler) -> io::Result<watch::Receiver<bool>> {
        self.socket.set_read_timeout(None)?;
        self.socket.set_nonblocking(true)?;
        Ok(scaler.retire(self.socket))
    }
}

// === impl NewProcess ===

impl NewProcess {
    /// Lets the process live on; returns its PID.
    fn release(&mut self) -> u32 {
        // Called once, so the child is there.
        self.0.take().map_or(0, |child| child.id())
    }

    /// Why the process does not take over: by its `answer`, by its exit, or because it did not
    /// answer within `patience`.
    async fn why(&mut self, answer: Answer, patience: Duration) -> anyhow::Error {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, WouldBlock};
        let answer = match answer {
            // It closed the socket with unread messages in it.
            Err(error) if matches!(error.kind(), BrokenPipe | ConnectionReset) => Ok(None),
            answer => answer,
        };
        match answer {
            Ok(Some(Reply::Failed { why })) => anyhow!("{why}"),
            Ok(Some(reply)) => anyhow!("the new process sent an unexpected message: {reply:?}"),
            Ok(None) => match self.status().await {
                Some(status) => {
                    anyhow!("the new process ended ({status}); what it printed says why")
                }
                None => anyhow!("the new process is no Tailback that can take over"),
            },
            Err(error) if error.kind() == WouldBlock => anyhow!(
                "the new process was not ready within {} s",
                patience.as_secs()
            ),
            Err(error) => anyhow!("cannot communicate with the new process: {error}"),
        }
    }

    /// The exit status of the process, if it ends within [`TO_END`].
    async fn status(&mut self) -> Option<std::process::ExitStatus> {
        let child = self.0.as_mut()?;
        let begun = Instant::now();
        while begun.elapsed() < TO_END {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(status);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        None
    }
}

impl Drop for NewProcess {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

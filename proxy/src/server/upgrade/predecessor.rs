//! The new process's side of an upgrade: it takes over from its predecessor.

use std::{
    env,
    fs::File,
    io,
    net::TcpListener,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use nix::{
    sys::socket::{getsockopt, sockopt},
    unistd::dup2_stdin,
};
use tailback_scaler::{
    orchestrator::{
        handover::{Inherited, Parcel},
        process::LINEAGE,
    },
    run::Scaler,
};
use tokio::sync::watch;

use super::{HandOver, Hello, PROTOCOL, Reply, channel::Channel};
use crate::{server::listen::Listeners, telemetry::build_info::VERSION};

/// How long to wait for each of the predecessor's messages.
const PATIENCE: Duration = Duration::from_secs(60);

/// The running process that this one takes over from.
pub(in crate::server) struct Predecessor {
    channel: Channel,
    pid: u32,
    version: String,
    listeners: Option<Listeners>,
}

impl Predecessor {
    /// The process that started this one as its successor, if one did.
    ///
    /// # Errors
    /// If the socket to it is not usable, or its first message is wrong.
    pub(in crate::server) fn find() -> Result<Option<Self>> {
        if env::var_os(LINEAGE).is_none() {
            return Ok(None);
        }
        Self::meet()
            .map(Some)
            .context("cannot take over from the running process")
    }

    fn meet() -> Result<Self> {
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        getsockopt(&input, sockopt::SockType)
            .with_context(|| format!("{LINEAGE} is set, but standard input is not a socket"))?;
        // This process must hold no second copy of the socket, or the other end would not see it
        // close.
        dup2_stdin(File::open("/dev/null")?)?;
        let mut channel = Channel::new(UnixStream::from(input));
        channel.wait_at_most(PATIENCE)?;
        let (hello, sockets): (Hello, _) = channel.receive()?.ok_or_else(gone)?;
        let mut this = Self {
            channel,
            pid: hello.pid,
            version: hello.version,
            listeners: None,
        };
        let adopted = adopt(hello.protocol, &this.version, sockets);
        match adopted {
            Ok(listeners) => this.listeners = Some(listeners),
            Err(error) => {
                this.failed(&error);
                return Err(error);
            }
        }
        Ok(this)
    }

    /// Its process.
    pub(in crate::server) fn pid(&self) -> u32 {
        self.pid
    }

    /// The listening sockets that it has passed on. `None` if they were taken already.
    pub(in crate::server) fn listeners(&mut self) -> Option<Listeners> {
        self.listeners.take()
    }

    /// Reports to the predecessor why this process cannot take over.
    pub(in crate::server) fn failed(&mut self, error: &anyhow::Error) {
        let why = format!("{error:#}");
        // If the message cannot be sent, the predecessor sees the socket close.
        let _ = self.channel.send(&Reply::Failed { why }, &[]);
    }

    /// Reports that this process is ready, and receives what it inherits.
    ///
    /// # Errors
    /// If the predecessor does not send it.
    pub(in crate::server) fn ready(&mut self) -> Result<(Inherited, Vec<Parcel>)> {
        let version = VERSION.to_owned();
        self.channel.send(&Reply::Ready { version }, &[])?;
        let (HandOver { inherited, parcels }, _) = self.channel.receive()?.ok_or_else(gone)?;
        let parcels = (0..parcels).map(|_| self.channel.receive_parcel()?.ok_or_else(gone));
        Ok((inherited, parcels.collect::<Result<_>>()?))
    }

    /// Reports that this process is the proxy from now on. The receiver gets `true` once the
    /// predecessor has ended.
    ///
    /// # Errors
    /// If the predecessor is gone.
    pub(in crate::server) fn took(mut self, scaler: &Scaler) -> Result<watch::Receiver<bool>> {
        self.channel.send(&Reply::Took, &[])?;
        let socket = self.channel.into_socket();
        socket.set_read_timeout(None)?;
        socket.set_nonblocking(true)?;
        tracing::info!(
            pid = self.pid,
            version = self.version,
            "took over from the process before this one, which finishes its requests"
        );
        Ok(scaler.attach(socket))
    }
}

fn gone() -> anyhow::Error {
    anyhow!("the running process has ended")
}

fn adopt(protocol: u32, version: &str, sockets: Vec<OwnedFd>) -> Result<Listeners> {
    if protocol != PROTOCOL {
        bail!(
            "the running version {version} and this version {VERSION} cannot upgrade into each other: restart \
             Tailback instead"
        );
    }
    let Ok([requests, admin]) = <[OwnedFd; 2]>::try_from(sockets) else {
        bail!("the listening sockets are missing");
    };
    Ok(Listeners {
        requests: TcpListener::from(requests),
        admin: TcpListener::from(admin),
    })
}

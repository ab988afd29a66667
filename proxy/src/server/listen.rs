//! The listening sockets for requests and for the admin pages. They are bound first, so that an
//! address in use is reported at once, and they stay open across an upgrade.

use std::{
    net::{SocketAddr, TcpListener},
    os::fd::IntoRawFd,
    thread,
};

use anyhow::{Context, Result};
use async_trait::async_trait;
use pingora::{
    apps::ServerApp,
    listeners::{L4BufferSettings, ListenerConfig},
    server::{ListenFds, RunArgs, Server, ShutdownWatch, configuration::ServerConf},
    services::{Service, listening},
};
use tailback_config::Process;
use tokio::sync::watch;

use super::signal::Forwarded;

/// The listening sockets.
pub(super) struct Listeners {
    /// For requests.
    pub requests: TcpListener,
    /// For the admin pages.
    pub admin: TcpListener,
}

impl Listeners {
    /// Binds both sockets.
    ///
    /// # Errors
    /// If one cannot be bound; the error names the setting to change.
    pub(super) fn open(process: &Process) -> Result<Self> {
        Ok(Self {
            requests: bind(process.listen, "--listen or TAILBACK_LISTEN")?,
            admin: bind(process.admin, "--admin or TAILBACK_ADMIN")?,
        })
    }

    /// Duplicates both sockets.
    ///
    /// # Errors
    /// If too many files are open.
    pub(super) fn try_clone(&self) -> std::io::Result<Self> {
        Ok(Self {
            requests: self.requests.try_clone()?,
            admin: self.admin.try_clone()?,
        })
    }
}

/// A listener on `wanted`; port 0 picks a free port.
fn bind(wanted: SocketAddr, variable: &str) -> Result<TcpListener> {
    TcpListener::bind(wanted)
        .with_context(|| format!("cannot listen on {wanted} (set another address with {variable})"))
}

/// Lets pingora accept connections of `listener` for `app`, on `workers` threads, until `stopped`
/// is `true`. Its threads run until the process ends; [`serve`](super::serve) decides when
/// everything has drained.
pub(super) fn accept<A>(
    listener: &TcpListener,
    app: A,
    workers: usize,
    stopped: watch::Receiver<bool>,
) -> Result<()>
where
    A: ServerApp + Send + Sync + 'static,
{
    // pingora sleeps for its grace period, then shuts its workers down. It must never get there:
    // `serve` decides when the process ends.
    const FOREVER: u64 = u32::MAX as u64;
    let conf = ServerConf {
        threads: workers,
        work_stealing: false,
        grace_period_seconds: Some(FOREVER),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let address = listener.local_addr()?.to_string();
    let mut service = listening::Service::new("worker".into(), app);
    // The HTTP versions have buffers of their own.
    service.add_listener(
        ListenerConfig::tcp(address.clone()).l4_buffer(L4BufferSettings::unbuffered()),
    );
    let listener = listener.try_clone()?;
    listener.set_nonblocking(true)?;
    server.add_service(Opened {
        service,
        address,
        listener: Some(listener),
    });
    thread::Builder::new()
        .name("server".into())
        .spawn(move || {
            server.run(RunArgs {
                shutdown_signal: Box::new(Forwarded(stopped)),
            });
        })?;
    Ok(())
}

/// A service whose listener is already open. pingora gets it as if an earlier process had passed
/// it on.
struct Opened<S> {
    service: S,
    address: String,
    listener: Option<TcpListener>,
}

#[async_trait]
impl<S: Service> Service for Opened<S> {
    async fn start_service(
        &mut self,
        fds: Option<ListenFds>,
        shutdown: ShutdownWatch,
        listeners_per_fd: usize,
    ) {
        if let (Some(fds), Some(listener)) = (&fds, self.listener.take()) {
            fds.lock().add(self.address.clone(), listener.into_raw_fd());
        }
        self.service
            .start_service(fds, shutdown, listeners_per_fd)
            .await;
    }

    fn name(&self) -> &str {
        self.service.name()
    }
}

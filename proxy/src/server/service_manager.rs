//! systemd: state notifications for a service of `Type=notify` (`sd_notify(3)`), and socket
//! activation (`sd_listen_fds(3)`).

use std::{env, net::TcpListener};

use anyhow::{Result, bail};
use listenfd::ListenFd;
use sd_notify::NotifyState;

use super::listen::Listeners;

/// Reports that requests are served.
pub(super) fn ready() {
    say(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// Reports that the configuration is being reloaded; call [`ready`] afterwards.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => say(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "cannot read the monotonic clock for systemd"),
    }
}

/// Reports that the process is draining.
pub(super) fn stopping() {
    say(&[
        NotifyState::Stopping,
        NotifyState::Status("finishing the last requests"),
    ]);
}

/// Reports that the process `pid` is the service's main process from now on.
pub(super) fn main_process(pid: u32) {
    say(&[NotifyState::MainPid(pid), NotifyState::Ready]);
}

fn say(state: &[NotifyState<'_>]) {
    // Does nothing without a service manager.
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "cannot notify systemd");
    }
}

/// The listening sockets that systemd has passed on, if any: `requests` and `admin` by name
/// (`FileDescriptorName=`), or the first and the second.
///
/// # Errors
/// If they are not two TCP listeners.
pub(super) fn sockets() -> Result<Option<Listeners>> {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut passed = ListenFd::from_env();
    let sockets: Result<Vec<Option<TcpListener>>, _> = (0..passed.len())
        .map(|number| passed.take_tcp_listener(number))
        .collect();
    let Ok(sockets) = sockets else {
        bail!(
            "a socket passed on by systemd is not a TCP socket: see ListenStream= in the socket unit"
        );
    };
    let mut sockets: Vec<_> = sockets.into_iter().flatten().collect();
    match sockets.len() {
        0 => Ok(None),
        2 => {
            if names.split(':').eq(["admin", "requests"]) {
                sockets.reverse();
            }
            let admin = sockets.pop();
            let both = sockets.pop().zip(admin);
            Ok(both.map(|(requests, admin)| Listeners { requests, admin }))
        }
        number => bail!(
            "systemd passes on {number} sockets, expected 2: one for requests, and one for the admin pages (two lines \
             ListenStream= in the socket unit)"
        ),
    }
}

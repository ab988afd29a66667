//! What happens from outside: signals, and changed files.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};

/// Something to react to.
pub(super) enum Event {
    /// Read the manifests again; why.
    Reload(&'static str),
    /// Open the access log's file again: it was moved.
    Reopen,
    /// Let another process of the program take over; why.
    Upgrade(&'static str),
    /// Drain and end; why.
    Stop(&'static str),
}

/// Where events come from, and where they are told.
pub(super) type Events = (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>);

/// A signal that is handled, with its name.
type Handled = (fn() -> SignalKind, &'static str);

const SIGNALS: [Handled; 6] = [
    (SignalKind::terminate, "SIGTERM"),
    (SignalKind::interrupt, "SIGINT"),
    (SignalKind::quit, "SIGQUIT"),
    (SignalKind::hangup, "SIGHUP"),
    (SignalKind::user_defined1, "SIGUSR1"),
    (SignalKind::user_defined2, "SIGUSR2"),
];

/// What a signal asks for.
fn event(signal: &'static str) -> Event {
    match signal {
        "SIGHUP" => Event::Reload(signal),
        "SIGUSR1" => Event::Reopen,
        "SIGUSR2" => Event::Upgrade(signal),
        _ => Event::Stop(signal),
    }
}

/// Events from now on. Needs a tokio runtime around it.
pub(super) fn events(paths: &[PathBuf]) -> Result<Events> {
    let (sender, events) = mpsc::unbounded_channel();
    let others = sender.clone();
    for (kind, name) in SIGNALS {
        let mut signals = signal(kind()).with_context(|| format!("cannot handle {name}"))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if sender.send(event(name)).is_err() {
                    return;
                }
            }
        });
    }
    let on_change = move || {
        let _ = sender.send(Event::Reload("a manifest changed"));
    };
    let watch = tailback_config::watch(paths, on_change).map_err(|e| anyhow!("{e}"))?;
    // Watches until the process ends.
    std::mem::forget(watch);
    Ok((others, events))
}

/// Tells pingora's server to stop accepting when we say so.
pub(super) struct Forwarded(pub watch::Receiver<bool>);

#[async_trait]
impl ShutdownSignalWatch for Forwarded {
    async fn recv(&self) -> ShutdownSignal {
        let mut stop = self.0.clone();
        // The sender lives as long as the process serves.
        let _ = stop.wait_for(|&stop| stop).await;
        ShutdownSignal::GracefulTerminate
    }
}

//! Events from outside: signals, and changed manifest files.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot, watch},
};

use crate::admin::ReloadOutcome;

/// An event that the serving process reacts to. Causes are for the log.
pub(super) enum Event {
    /// Reload the manifests, because of this cause.
    Reload(&'static str),
    /// Reload the manifests, because of an order through the admin address. The result goes to the
    /// channel.
    Order(oneshot::Sender<ReloadOutcome>),
    /// Read the file of API keys again, because of this cause.
    ApiKeys(&'static str),
    /// Reopen the access log's file: it was rotated.
    Reopen,
    /// Start the successor process, because of this cause.
    Upgrade(&'static str),
    /// Drain and end, because of this cause.
    Stop(&'static str),
}

/// The sending and the receiving end of events.
pub(super) type EventChannel = (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>);

/// A signal that is handled, and its name.
type Handled = (fn() -> SignalKind, &'static str);

const SIGNALS: [Handled; 6] = [
    (SignalKind::terminate, "SIGTERM"),
    (SignalKind::interrupt, "SIGINT"),
    (SignalKind::quit, "SIGQUIT"),
    (SignalKind::hangup, "SIGHUP"),
    (SignalKind::user_defined1, "SIGUSR1"),
    (SignalKind::user_defined2, "SIGUSR2"),
];

/// The event for a signal.
fn event(signal: &'static str) -> Event {
    match signal {
        "SIGHUP" => Event::Reload(signal),
        "SIGUSR1" => Event::Reopen,
        "SIGUSR2" => Event::Upgrade(signal),
        _ => Event::Stop(signal),
    }
}

/// Starts listening for signals and changed files. Must be called within a tokio runtime.
pub(super) fn events(paths: &[PathBuf]) -> Result<EventChannel> {
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
    // Keeps watching until the process ends.
    std::mem::forget(watch);
    Ok((others, events))
}

/// Makes pingora's server stop accepting when the receiver becomes `true`.
pub(super) struct Forwarded(pub watch::Receiver<bool>);

#[async_trait]
impl ShutdownSignalWatch for Forwarded {
    async fn recv(&self) -> ShutdownSignal {
        let mut stop = self.0.clone();
        // The sender lives for as long as the process serves.
        let _ = stop.wait_for(|&stop| stop).await;
        ShutdownSignal::GracefulTerminate
    }
}

//! Reloads of the configuration through the admin address, and their results.

use std::time::SystemTime;

use serde::Serialize;
use tokio::sync::oneshot;

/// The result of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadOutcome {
    /// A new configuration is in force. With notes about it.
    Reloaded(Vec<String>),
    /// Nothing has changed.
    Unchanged,
    /// The new configuration has errors, so the old one stays in force. With all errors.
    Refused(String),
}

impl ReloadOutcome {
    /// The name in metrics and on the admin address.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Reloaded(_) => "reloaded",
            Self::Unchanged => "unchanged",
            Self::Refused(_) => "refused",
        }
    }
}

/// The last reload, as the admin address shows it. Its errors are not shown, because they may
/// quote the manifests: they are in the log, and in the answer to the bearer of the token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct LastReload {
    /// Seconds since 1970 (UTC).
    time: f64,
    outcome: &'static str,
}

impl LastReload {
    /// A reload that ends now.
    pub(super) fn now(outcome: &ReloadOutcome) -> Self {
        let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self {
            time: since_1970.as_secs_f64(),
            outcome: outcome.as_str(),
        }
    }
}

/// Makes the serving process reload.
pub struct ReloadHandle(Box<dyn Fn(oneshot::Sender<ReloadOutcome>) + Send + Sync>);

impl ReloadHandle {
    /// `ask` starts a reload, and is given the channel for its result.
    pub fn new(ask: impl Fn(oneshot::Sender<ReloadOutcome>) + Send + Sync + 'static) -> Self {
        Self(Box::new(ask))
    }

    /// Reloads, and waits for the result; `None`: the process is shutting down.
    pub(super) async fn reload(&self) -> Option<ReloadOutcome> {
        let (answer, answered) = oneshot::channel();
        (self.0)(answer);
        answered.await.ok()
    }
}

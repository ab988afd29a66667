//! Asking the serving process to reload its configuration, and what came of it.

use std::time::SystemTime;

use serde::Serialize;
use tokio::sync::oneshot;

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadOutcome {
    /// A new configuration is in force; what is to be known of it.
    Reloaded(Vec<String>),
    /// It is as it was.
    Unchanged,
    /// The new one is wrong, and the old one stays in force; all that is wrong.
    Refused(String),
}

impl ReloadOutcome {
    /// As metrics and the admin address name it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Reloaded(_) => "reloaded",
            Self::Unchanged => "unchanged",
            Self::Refused(_) => "refused",
        }
    }
}

/// The last reload, as the admin address shows it. What was wrong is for the log, and for whoever
/// has the token: it may quote the manifests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct LastReload {
    /// Seconds since 1970, UTC.
    time: f64,
    outcome: &'static str,
}

impl LastReload {
    /// One that ends now.
    pub(super) fn now(outcome: &ReloadOutcome) -> Self {
        let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self {
            time: since_1970.as_secs_f64(),
            outcome: outcome.as_str(),
        }
    }
}

/// Asks the serving process to reload.
pub struct ReloadHandle(Box<dyn Fn(oneshot::Sender<ReloadOutcome>) + Send + Sync>);

impl ReloadHandle {
    /// A handle that asks by `ask`, which is given where the outcome is awaited.
    pub fn new(ask: impl Fn(oneshot::Sender<ReloadOutcome>) + Send + Sync + 'static) -> Self {
        Self(Box::new(ask))
    }

    /// Asks, and waits for what comes of it; `None`: the process is ending.
    pub(super) async fn reload(&self) -> Option<ReloadOutcome> {
        let (answer, answered) = oneshot::channel();
        (self.0)(answer);
        answered.await.ok()
    }
}

//! Publishes this proxy's counts: the scaler sets the state, and each listener gets its changes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use super::{
    Role,
    counts_update::{Counts, CountsUpdate, DeltaEncoder},
};
use crate::clock::Nanos;

/// A listener gets a line at least this often.
const ALIVE: Duration = Duration::from_secs(1);
/// How long to wait at the end for listeners to take the last line.
const GOOD_BYE: Duration = Duration::from_millis(500);

/// The complete published state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PublishedState {
    role: Role,
    models: BTreeMap<String, Counts>,
}

/// The publisher of this proxy's counts. Clones share one state.
#[derive(Clone, Debug)]
pub struct CountsPublisher {
    instance: Arc<str>,
    /// `None`: the proxy has stopped.
    state: watch::Sender<Option<Arc<PublishedState>>>,
}

/// The stream of updates for one listener.
#[derive(Debug)]
pub struct CountsUpdates {
    instance: Arc<str>,
    state: watch::Receiver<Option<Arc<PublishedState>>>,
    encoder: DeltaEncoder,
    /// The role in the last line; `None`: before the first line.
    role: Option<Role>,
    over: bool,
}

// === impl CountsPublisher ===

impl Default for CountsPublisher {
    /// A publisher with a new instance name.
    fn default() -> Self {
        Self {
            instance: format!("{:016x}", fastrand::Rng::new().u64(..)).into(),
            state: watch::Sender::new(Some(Arc::default())),
        }
    }
}

impl CountsPublisher {
    /// This proxy's instance name, new at each start.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// A stream of updates, which begins with all models.
    #[must_use]
    pub fn subscribe(&self) -> CountsUpdates {
        CountsUpdates {
            instance: self.instance.clone(),
            state: self.state.subscribe(),
            encoder: DeltaEncoder::default(),
            role: None,
            over: false,
        }
    }

    /// Sets the state. Listeners get what has changed at once.
    pub(crate) fn publish(&self, role: Role, models: BTreeMap<String, Counts>) {
        self.state
            .send_replace(Some(Arc::new(PublishedState { role, models })));
    }

    /// Ends all streams with a last line without models. Returns when all listeners have taken
    /// it, or after [`GOOD_BYE`].
    pub(crate) async fn end(&self) {
        self.state.send_replace(None);
        let _ = timeout(GOOD_BYE, self.state.closed()).await;
    }
}

// === impl CountsUpdates ===

impl CountsUpdates {
    /// The next line: at once if something has changed, else after [`ALIVE`] a line without
    /// changes. `None`: the stream has ended.
    pub async fn next(&mut self) -> Option<CountsUpdate> {
        if self.over {
            return None;
        }
        let alive = Instant::now() + ALIVE;
        loop {
            // The first line is sent at once.
            if self.role.is_some() {
                match timeout_at(alive, self.state.changed()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return None,
                    Err(_) => return Some(self.line(BTreeMap::new())),
                }
            }
            let state = self.state.borrow_and_update().clone();
            self.over = state.is_none();
            let state = state.unwrap_or_default();
            let models = self.encoder.news(state.models.clone());
            if self.role.replace(state.role) != Some(state.role) || !models.is_empty() || self.over
            {
                return Some(self.line(models));
            }
        }
    }

    fn line(&self, models: BTreeMap<String, Option<Counts>>) -> CountsUpdate {
        CountsUpdate {
            instance: (*self.instance).to_owned(),
            at: Nanos::now().0,
            leads: self.role == Some(Role::Leads),
            models,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_listener_hears_news_at_once_and_else_each_second() {
        let publisher = CountsPublisher::default();
        let mut lines = publisher.subscribe();
        let first = lines.next().await.unwrap();
        assert_eq!(
            (first.instance.as_str(), first.leads),
            (publisher.instance(), false)
        );
        let start = Instant::now();
        // The same state again changes nothing.
        publisher.publish(Role::Follows, BTreeMap::new());
        assert!(lines.next().await.unwrap().models.is_empty());
        assert_eq!(start.elapsed(), ALIVE);
        let counts = Counts {
            arrived: 1,
            ..Counts::default()
        };
        publisher.publish(Role::Leads, [("m".to_owned(), counts)].into());
        let line = lines.next().await.unwrap();
        assert_eq!(start.elapsed(), ALIVE, "no wait");
        assert!(line.leads && line.models.contains_key("m"), "{line:?}");
        let (last, ()) = tokio::join!(
            async move {
                let last = lines.next().await;
                assert!(lines.next().await.is_none());
                last
            },
            publisher.end(),
        );
        assert_eq!(last.unwrap().models, [("m".to_owned(), None)].into());
        assert_eq!(start.elapsed(), ALIVE, "nobody is waited for");
    }

    #[test]
    fn two_starts_have_two_names() {
        assert_ne!(
            CountsPublisher::default().instance(),
            CountsPublisher::default().instance()
        );
    }
}

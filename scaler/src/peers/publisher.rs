//! Where the scaler lays out what other proxies are to be told, and who listens
//! takes it from.

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

/// A listener hears something at least this often.
const ALIVE: Duration = Duration::from_secs(1);
/// Who does not take the last line for so long is not waited for.
const GOOD_BYE: Duration = Duration::from_millis(500);

/// What is state: whole each time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PublishedState {
    role: Role,
    models: BTreeMap<String, Counts>,
}

/// Clones tell the same.
#[derive(Clone, Debug)]
pub struct CountsPublisher {
    instance: Arc<str>,
    /// `None`: it has told all.
    state: watch::Sender<Option<Arc<PublishedState>>>,
}

/// What one listener gets.
#[derive(Debug)]
pub struct CountsUpdates {
    instance: Arc<str>,
    state: watch::Receiver<Option<Arc<PublishedState>>>,
    encoder: DeltaEncoder,
    /// What was said of leading; `None`: nothing was said yet.
    role: Option<Role>,
    over: bool,
}

// === impl CountsPublisher ===

impl Default for CountsPublisher {
    /// Under a name that no other start of any proxy has.
    fn default() -> Self {
        Self {
            instance: format!("{:016x}", fastrand::Rng::new().u64(..)).into(),
            state: watch::Sender::new(Some(Arc::default())),
        }
    }
}

impl CountsPublisher {
    /// The name of this start of this proxy.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// CountsUpdates from now on.
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

    /// All listeners are told of this now, if it is news.
    pub(crate) fn publish(&self, role: Role, models: BTreeMap<String, Counts>) {
        self.state
            .send_replace(Some(Arc::new(PublishedState { role, models })));
    }

    /// Says good-bye: nothing is served here any more. Returns when all who
    /// listen have heard it, or do not want to.
    pub(crate) async fn end(&self) {
        self.state.send_replace(None);
        let _ = timeout(GOOD_BYE, self.state.closed()).await;
    }
}

// === impl CountsUpdates ===

impl CountsUpdates {
    /// The next line: at once when there is something to say, or else when it is
    /// time to say that all is as it was. `None`: that was the last one.
    pub async fn next(&mut self) -> Option<CountsUpdate> {
        if self.over {
            return None;
        }
        let alive = Instant::now() + ALIVE;
        loop {
            // The first line is said at once.
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
        // PublishedState again, and no news.
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

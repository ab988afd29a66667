//! Metric series of models and servers, by key.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tailback_scaler::clock::Nanos;

use super::affinity::AffinityCounts;
use super::key_counts::KeyCounts;
use super::llm::LlmMetrics;
use super::requests::{ByMethod, MethodMetrics, Outcomes, Questions, Retries, ServerTotals};

/// How long series are kept after their model is gone: several scrapes at any usual interval.
const KEPT: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub(super) struct Content {
    /// By model.
    pub outcomes: Series<String, Outcomes>,
    /// By model.
    pub retries: Series<String, Retries>,
    /// By model.
    pub questions: Series<String, Questions>,
    /// By model.
    pub affinities: Series<String, AffinityCounts>,
    /// By model.
    pub llms: Series<String, LlmMetrics>,
    /// By API key.
    pub keys: Series<String, KeyCounts>,
    /// By model and server.
    pub models: Series<(String, String), ByMethod<MethodMetrics>>,
    /// By server.
    pub servers: Series<String, ByMethod<ServerTotals>>,
}

/// The series of one kind, with the time since which each is unused.
#[derive(Debug)]
pub(super) struct Series<K, V>(BTreeMap<K, Kept<V>>);

#[derive(Debug)]
struct Kept<V> {
    series: Arc<V>,
    /// When its model or server was first found missing; `None` while it is served.
    unused: Option<Nanos>,
}

impl<K, V> Default for Series<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord, V: Default> Series<K, V> {
    pub(super) fn of(&mut self, key: K) -> Arc<V> {
        let kept = self.0.entry(key).or_insert_with(|| Kept {
            series: Arc::default(),
            unused: None,
        });
        kept.unused = None;
        kept.series.clone()
    }

    /// Marks all series as unused since `now`, unless they are marked already.
    pub(super) fn suspect(&mut self, now: Nanos) {
        for kept in self.0.values_mut() {
            kept.unused.get_or_insert(now);
        }
    }

    /// Marks the series of `key` as in use.
    pub(super) fn clear(&mut self, key: &K) {
        if let Some(kept) = self.0.get_mut(key) {
            kept.unused = None;
        }
    }

    /// Removes series that have been unused for [`KEPT`].
    pub(super) fn expire(&mut self, now: Nanos) {
        let since = |unused: Nanos| now.since(unused);
        self.0
            .retain(|_, kept| kept.unused.is_none_or(|unused| since(unused) < KEPT));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, kept)| (key, &*kept.series))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

//! Series of models and servers, by what they are of.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tailback_scaler::clock::Nanos;

use super::requests::{ByMethod, MethodMetrics, Outcomes, Retries, Totals};

/// How long series outlast their model: several scrapes, at any usual interval.
const KEPT: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub(super) struct Content {
    /// By model.
    pub outcomes: Series<String, Outcomes>,
    /// By model.
    pub retries: Series<String, Retries>,
    /// By model and server.
    pub models: Series<(String, String), ByMethod<MethodMetrics>>,
    /// By server.
    pub servers: Series<String, ByMethod<Totals>>,
}

/// The series of one kind.
#[derive(Debug)]
pub(super) struct Series<K, V>(BTreeMap<K, Kept<V>>);

#[derive(Debug)]
struct Kept<V> {
    series: Arc<V>,
    /// Since when it is of nothing that is served.
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

    /// Takes all series for unused since `now`, unless they are already.
    pub(super) fn suspect(&mut self, now: Nanos) {
        for kept in self.0.values_mut() {
            kept.unused.get_or_insert(now);
        }
    }

    /// A series is in use.
    pub(super) fn clear(&mut self, key: &K) {
        if let Some(kept) = self.0.get_mut(key) {
            kept.unused = None;
        }
    }

    /// Lets go of series that have been unused for long.
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

//! The series of all models. A series survives reloads, and is removed some time after its model.
//! So counters never go back, the last counts of a removed model are still scraped, and models that
//! come and go do not leak memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tailback_scaler::clock::Nanos;

use super::{
    exposition::Exposition, key_counts::KeyCounts, llm_families, request_families,
    requests::ModelMetrics, series::Content,
};

/// The series of all models, by model and server.
#[derive(Debug, Default)]
pub struct MetricsStore(Mutex<Content>);

// === impl MetricsStore ===

impl MetricsStore {
    /// The handles of `model` on `server`, which are created if they do not exist.
    #[must_use]
    pub fn of(&self, model: &str, server: &str) -> ModelMetrics {
        let mut content = self.content();
        ModelMetrics {
            affinity: content.affinities.of(model.to_owned()),
            llm: content.llms.of(model.to_owned()),
            outcomes: content.outcomes.of(model.to_owned()),
            retries: content.retries.of(model.to_owned()),
            questions: content.questions.of(model.to_owned()),
            of_model: content.models.of((model.to_owned(), server.to_owned())),
            of_server: content.servers.of(server.to_owned()),
        }
    }

    /// The counters of the API key with this name, which are created if they do not exist.
    #[must_use]
    pub fn of_key(&self, name: &str) -> Arc<KeyCounts> {
        self.content().keys.of(name.to_owned())
    }

    /// Removes series that have long been unused. `served` lists all pairs of a model and its
    /// server that are served now, `keys` all API keys.
    pub fn expire<'a>(
        &self,
        served: impl Iterator<Item = (&'a str, &'a str)>,
        keys: impl Iterator<Item = &'a str>,
        now: Nanos,
    ) {
        let content = &mut *self.content();
        content.outcomes.suspect(now);
        content.retries.suspect(now);
        content.questions.suspect(now);
        content.affinities.suspect(now);
        content.llms.suspect(now);
        content.keys.suspect(now);
        content.models.suspect(now);
        content.servers.suspect(now);
        for (model, server) in served {
            content.outcomes.clear(&model.to_owned());
            content.retries.clear(&model.to_owned());
            content.questions.clear(&model.to_owned());
            content.affinities.clear(&model.to_owned());
            content.llms.clear(&model.to_owned());
            content.models.clear(&(model.to_owned(), server.to_owned()));
            content.servers.clear(&server.to_owned());
        }
        for key in keys {
            content.keys.clear(&key.to_owned());
        }
        content.outcomes.expire(now);
        content.retries.expire(now);
        content.questions.expire(now);
        content.affinities.expire(now);
        content.llms.expire(now);
        content.keys.expire(now);
        content.models.expire(now);
        content.servers.expire(now);
    }

    /// Writes the families of finished requests.
    pub fn render(&self, text: &mut Exposition) {
        let content = self.content();
        request_families::render(text, &content);
        llm_families::render(text, &content.llms);
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // A poisoned lock is fine: the content is plain counters, consistent at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{MethodType, Outcome, ResponseStatus};
    use std::time::Duration;

    fn none<T>() -> std::iter::Empty<T> {
        std::iter::empty()
    }

    fn at(seconds: u64) -> Nanos {
        Nanos::from_duration(Duration::from_secs(seconds))
    }

    fn one_request(metrics: &ModelMetrics) {
        let status = ResponseStatus::Http(http::StatusCode::OK);
        metrics.completed(Outcome::Success, status, Duration::from_millis(1), None);
    }

    fn sizes(store: &MetricsStore) -> [usize; 3] {
        let content = store.content();
        [
            content.outcomes.len(),
            content.models.len(),
            content.servers.len(),
        ]
    }

    #[test]
    fn renamed_models_do_not_grow_the_store() {
        let store = MetricsStore::default();
        for n in 0..1_000 {
            let name = format!("m{n}");
            one_request(&store.of(&name, "s"));
            // One reload a minute.
            store.expire([(&*name, "s")].into_iter(), none(), at(60 * n));
            assert!(sizes(&store) <= [11, 11, 1], "{n}: {:?}", sizes(&store));
        }
        let requests = store
            .of("other", "s")
            .of_server
            .get(MethodType::Rest)
            .requests
            .load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(requests, 1_000, "the server's sum has all of them");
    }

    #[test]
    fn series_outlast_a_removal_for_a_while_and_continue_if_the_model_returns() {
        let store = MetricsStore::default();
        one_request(&store.of("m", "s"));
        store.expire(none(), none(), at(0));
        store.expire(none(), none(), at(599));
        let again = store.of("m", "s");
        assert_eq!(again.outcomes.count(Outcome::Success), 1);
        store.expire([("m", "s")].into_iter(), none(), at(700));
        store.expire(none(), none(), at(800));
        store.expire(none(), none(), at(1_399));
        assert_eq!(sizes(&store), [1, 1, 1]);
        store.expire(none(), none(), at(1_400));
        assert_eq!(sizes(&store), [0, 0, 0]);
    }

    #[test]
    fn a_model_that_moves_to_another_server_keeps_its_outcomes() {
        let store = MetricsStore::default();
        one_request(&store.of("m", "old"));
        one_request(&store.of("m", "new"));
        for seconds in [0, 600] {
            store.expire([("m", "new")].into_iter(), none(), at(seconds));
        }
        assert_eq!(sizes(&store), [1, 1, 1]);
        assert_eq!(store.of("m", "new").outcomes.count(Outcome::Success), 2);
    }
}

//! The state of the proxy and its models, collected from events.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use serde_json::{Map, Value};

use super::{
    super::{decisions::Decision, model_view::ModelView},
    events::Update,
};

/// Time between two samples, which are taken about every second.
const STEP: Duration = Duration::from_millis(900);
const KEPT: usize = 120;
/// Rates are means over this many samples.
const RATE_SAMPLES: usize = 5;
const DECISIONS: usize = 256;

/// Everything that is drawn.
pub(super) struct Picture {
    /// The address of the proxy.
    pub(super) address: String,
    /// Why there are no updates, if the proxy is not connected.
    pub(super) away: Option<String>,
    /// The proxy's own state.
    pub(super) proxy: Value,
    /// By name.
    pub(super) models: BTreeMap<String, ModelHistory>,
    /// The last decisions, newest first.
    pub(super) decisions: VecDeque<Decision>,
    sampled: Option<Instant>,
}

/// A model, and the recent course of its figures.
#[derive(Default)]
pub(super) struct ModelHistory {
    fields: Map<String, Value>,
    /// The present state.
    pub(super) now: ModelView,
    /// Requests in flight, once a second, oldest first.
    pub(super) lag: VecDeque<u64>,
    /// Held requests, likewise.
    pub(super) held: VecDeque<u64>,
    /// Requests per second that ended.
    pub(super) rate: f64,
    /// Requests per second that failed because of a replica or the proxy.
    pub(super) failures: f64,
    ended: VecDeque<(Instant, u64, u64)>,
}

/// Sums over all models.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) lag: u64,
    pub(super) held: u64,
    pub(super) rate: f64,
    pub(super) failures: f64,
    pub(super) ready: u64,
    pub(super) failing: usize,
}

impl Picture {
    pub(super) fn new(address: String) -> Self {
        Self {
            address,
            away: None,
            proxy: Value::Null,
            models: BTreeMap::new(),
            decisions: VecDeque::new(),
            sampled: None,
        }
    }

    /// Applies an update that arrived at `now`.
    pub(super) fn apply(&mut self, update: Update, now: Instant) {
        match update {
            Update::Connected => {
                // After a restart of the proxy, all counts begin at zero.
                *self = Self::new(std::mem::take(&mut self.address));
            }
            Update::Away(why) => self.away = Some(why),
            Update::Proxy(proxy) => self.proxy = proxy,
            Update::Decisions(decisions) => {
                for decision in decisions {
                    self.decisions.push_front(decision);
                }
                self.decisions.truncate(DECISIONS);
            }
            Update::Models(changes) => self.change(changes, now),
        }
    }

    /// Sums over all models.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for model in self.models.values() {
            totals.lag = totals.lag.saturating_add(model.now.in_flight);
            totals.held = totals.held.saturating_add(model.now.held);
            totals.rate += model.rate;
            totals.failures += model.failures;
            totals.ready += u64::from(model.now.ready);
            totals.failing += usize::from(model.now.failure.is_some());
        }
        totals
    }

    fn change(&mut self, changes: Map<String, Value>, now: Instant) {
        for (name, change) in changes {
            let Value::Object(fields) = change else {
                self.models.remove(&name);
                continue;
            };
            let model = self.models.entry(name).or_default();
            model.fields.extend(fields);
            // If a field has an unknown type, the previous state stays.
            if let Ok(view) = ModelView::of_event(&model.fields) {
                model.now = view;
            }
        }
        let due = |last| now.saturating_duration_since(last) >= STEP;
        if self.sampled.is_none_or(due) {
            self.sampled = Some(now);
            for model in self.models.values_mut() {
                model.sample(now);
            }
        }
    }
}

impl ModelHistory {
    fn sample(&mut self, now: Instant) {
        for (kept, value) in [
            (&mut self.lag, self.now.in_flight),
            (&mut self.held, self.now.held),
        ] {
            kept.push_back(value);
            if kept.len() > KEPT {
                kept.pop_front();
            }
        }
        let (completed, failed) = (self.now.completed, self.now.failed);
        self.ended.push_back((now, completed, failed));
        if self.ended.len() > RATE_SAMPLES + 1 {
            self.ended.pop_front();
        }
        if let Some((since, completed_then, failed_then)) = self.ended.front() {
            let seconds = now.saturating_duration_since(*since).as_secs_f64().max(1.0);
            self.rate = completed.saturating_sub(*completed_then) as f64 / seconds;
            self.failures = failed.saturating_sub(*failed_then) as f64 / seconds;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn models(changes: Value) -> Update {
        let Value::Object(changes) = changes else {
            panic!("{changes}")
        };
        Update::Models(changes)
    }

    #[test]
    fn changes_add_up_rates_are_means_and_a_new_start_counts_from_nothing() {
        let begun = Instant::now();
        let mut picture = Picture::new("a".into());
        for second in 0..10 {
            let now = begun + Duration::from_secs(second);
            let change = models(json!({ "m": { "completed": second * 4, "failed": second } }));
            picture.apply(change, now);
            // Updates between two samples are not kept.
            let soon = now + Duration::from_millis(500);
            picture.apply(models(json!({ "m": { "inFlight": 3 } })), soon);
        }
        let model = &picture.models["m"];
        assert_eq!((model.rate, model.failures), (4.0, 1.0));
        assert_eq!(model.lag, [vec![0], vec![3; 9]].concat());
        assert_eq!((picture.totals().lag, picture.totals().rate), (3, 4.0));
        picture.apply(models(json!({ "m": null })), begun);
        assert!(picture.models.is_empty());
        picture.apply(Update::Away("gone".into()), begun);
        assert_eq!(picture.away.as_deref(), Some("gone"));
        picture.apply(Update::Connected, begun);
        assert_eq!((picture.away, picture.address.as_str()), (None, "a"));
    }

    #[test]
    fn what_is_kept_is_bounded_and_newest_decisions_come_first() {
        let begun = Instant::now();
        let mut picture = Picture::new("a".into());
        for second in 0..500 {
            picture.apply(
                models(json!({ "m": {} })),
                begun + Duration::from_secs(second),
            );
            let decision = serde_json::from_value(json!({ "model": second.to_string() }));
            picture.apply(Update::Decisions(vec![decision.unwrap()]), begun);
        }
        let model = &picture.models["m"];
        assert_eq!(
            (model.lag.len(), model.ended.len()),
            (KEPT, RATE_SAMPLES + 1)
        );
        assert_eq!(picture.decisions.len(), DECISIONS);
        assert_eq!(picture.decisions[0].model, "499");
    }
}

//! What commands show of a model on one line.

use serde::Deserialize;
use serde_json::{Map, Value};

/// A model, with the field names of `/events`. A field that an older proxy does not send has its
/// default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ModelView {
    pub(super) server: String,
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) in_flight: u64,
    pub(super) held: u64,
    pub(super) p50_seconds: Option<f64>,
    pub(super) p99_seconds: Option<f64>,
    pub(super) desired: u32,
    pub(super) ready: u32,
    pub(super) starting: u32,
    pub(super) draining: u32,
    pub(super) paused: bool,
    pub(super) failure: Option<String>,
    pub(super) reason: String,
}

/// A model's state in one word: the worst that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModelState {
    Failing,
    Paused,
    Holding,
    Starting,
    Draining,
    Ready,
    Idle,
}

impl ModelView {
    /// From an object of `/events`.
    ///
    /// # Errors
    /// If a field has the wrong type.
    pub(super) fn of_event(fields: &Map<String, Value>) -> serde_json::Result<Self> {
        Self::deserialize(fields)
    }

    /// From an object of `/models`, in which the fields about replicas are in an object of their
    /// own.
    ///
    /// # Errors
    /// If a field has the wrong type.
    pub(super) fn of_page(page: &Value) -> serde_json::Result<Self> {
        let objects = [page, &page["replicas"]].map(Value::as_object);
        let fields = objects.into_iter().flatten().flatten();
        let mut fields: Map<_, _> = fields.map(|(k, v)| (k.clone(), v.clone())).collect();
        // In that object, `ready` is a list.
        let ready = page["replicas"]["readyCount"].as_u64().unwrap_or_default();
        fields.insert("ready".to_owned(), ready.into());
        Self::of_event(&fields)
    }

    /// Its state in one word.
    pub(super) fn state(&self) -> ModelState {
        match self {
            Self {
                failure: Some(_), ..
            } => ModelState::Failing,
            Self { paused: true, .. } => ModelState::Paused,
            Self { held: 1.., .. } => ModelState::Holding,
            Self { starting: 1.., .. } => ModelState::Starting,
            Self { draining: 1.., .. } => ModelState::Draining,
            Self { ready: 1.., .. } => ModelState::Ready,
            Self { .. } => ModelState::Idle,
        }
    }

    /// Why it fails, or why its count of replicas is what it is.
    pub(super) fn why(&self) -> &str {
        self.failure.as_deref().unwrap_or(&self.reason)
    }

    /// Ready and desired replicas, and how many are starting and draining.
    pub(super) fn replicas(&self) -> String {
        let mut text = format!("{}/{}", self.ready, self.desired);
        for (sign, count) in [('+', self.starting), ('-', self.draining)] {
            if count > 0 {
                text += &format!(" {sign}{count}");
            }
        }
        text
    }
}

impl ModelState {
    /// The state as it is printed.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Paused => "paused",
            Self::Holding => "holding",
            Self::Starting => "starting",
            Self::Draining => "draining",
            Self::Ready => "ready",
            Self::Idle => "idle",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_model_of_the_page_is_seen_as_one_of_the_events() {
        let page = json!({
            "server": "s", "inFlight": 3, "held": 1, "arrived": 5,
            "replicas": {
                "desired": 2, "ready": [{}, {}], "readyCount": 7, "starting": 1, "draining": 1,
                "failure": null, "reason": "lag",
            },
        });
        let view = ModelView::of_page(&page).unwrap();
        assert_eq!((view.in_flight, view.held), (3, 1));
        assert_eq!(view.replicas(), "7/2 +1 -1");
        assert_eq!((view.state(), view.why()), (ModelState::Holding, "lag"));
        assert!(ModelView::of_page(&json!({ "inFlight": "x" })).is_err());
    }

    #[test]
    fn the_worst_is_what_a_model_is_said_to_be() {
        let mut view = ModelView::default();
        assert_eq!(view.state(), ModelState::Idle);
        view.ready = 1;
        assert_eq!(view.state(), ModelState::Ready);
        view.starting = 1;
        assert_eq!(view.state(), ModelState::Starting);
        view.held = 1;
        assert_eq!(view.state(), ModelState::Holding);
        view.paused = true;
        assert_eq!(view.state(), ModelState::Paused);
        view.failure = Some("gone".into());
        assert_eq!((view.state(), view.why()), (ModelState::Failing, "gone"));
    }
}

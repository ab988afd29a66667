//! Seconds that requests have taken, by model, server and method. They are kept
//! as the recorder keeps its counters: for as long as the process runs, through
//! reloads, and of models that are no longer served, so that sums never go back.
//! (The recorder's own counters are whole numbers.)

use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::downstream::Method;

/// What a series is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Series {
    pub model: String,
    pub server: String,
    /// As labels have it.
    pub method: &'static str,
}

static ALL: LazyLock<Mutex<BTreeMap<Series, Arc<AtomicU64>>>> = LazyLock::new(Mutex::default);

/// The nanoseconds of a series, to be added to: the same ones whenever it is asked for.
pub(super) fn nanos(model: &str, server: &str, method: Method) -> Arc<AtomicU64> {
    let series = Series {
        model: model.to_owned(),
        server: server.to_owned(),
        method: method.label(),
    };
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.entry(series).or_default().clone()
}

/// The seconds of each series.
pub(super) fn all() -> Vec<(Series, f64)> {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let seconds = |nanos: &AtomicU64| nanos.load(Ordering::Relaxed) as f64 / 1e9;
    all.iter()
        .map(|(series, nanos)| (series.clone(), seconds(nanos)))
        .collect()
}

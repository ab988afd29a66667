//! The `metadata` of a `ScaledObject`'s trigger: which model, and which metric of it.

use std::sync::Arc;

use tailback_scaler::{ledger::Reading, status::StatusStore};
use tonic::Status;

use super::message::{MetricSpec, MetricValue, ScaledObjectRef};
use crate::models::{Model, RouteTable};

/// Most model names listed in an error.
const LISTED: usize = 20;

/// The value that KEDA reads of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Metric {
    /// `lag`: requests in flight. The target per replica is `lagThreshold`.
    Lag,
    /// `replicas`: the number of replicas that the model's policy wants. The target per replica is
    /// 1.
    Replicas,
}

/// A model and the metric to read of it.
#[derive(Clone, Debug)]
pub(super) struct Trigger {
    pub model: Arc<Model>,
    pub metric: Metric,
}

impl Metric {
    const ALL: &[Self] = &[Self::Lag, Self::Replicas];

    fn as_str(self) -> &'static str {
        match self {
            Self::Lag => "lag",
            Self::Replicas => "replicas",
        }
    }

    /// The metric's name as the HPA shows it, after KEDA's own prefix.
    fn name(self) -> String {
        format!("tailback-{}", self.as_str())
    }
}

impl Trigger {
    /// Reads the metadata of `asked` against `table`.
    ///
    /// # Errors
    /// Which metadata field is wrong, and what it may be.
    pub(super) fn read(asked: &ScaledObjectRef, table: &RouteTable) -> Result<Self, Status> {
        let metadata = &asked.scaler_metadata;
        let metric = match metadata.get("metric") {
            None => Metric::Lag,
            Some(text) => *Metric::ALL
                .iter()
                .find(|metric| metric.as_str() == text)
                .ok_or_else(|| {
                    Status::invalid_argument(format!(
                        "metadata.metric: found {text:?}, expected lag or replicas"
                    ))
                })?,
        };
        let Some(name) = metadata.get("model").filter(|name| !name.is_empty()) else {
            return Err(Status::invalid_argument(format!(
                "metadata.model is not set; expected the name of a model ({})",
                names(table)
            )));
        };
        Self::of(name, metric, table)
    }

    /// The `metric` of the model called `name`.
    ///
    /// # Errors
    /// If `table` has no such model, or the model's count is fixed.
    pub(super) fn of(name: &str, metric: Metric, table: &RouteTable) -> Result<Self, Status> {
        let Some(model) = table.model(name).cloned() else {
            return Err(Status::not_found(format!(
                "metadata.model: there is no model {name:?} ({})",
                names(table)
            )));
        };
        if metric == Metric::Replicas && !model.config.replicas.scaled {
            return Err(Status::invalid_argument(format!(
                "metadata.metric is replicas, and nothing decides how many model {} needs: set minReplicas or \
                 maxReplicas on it (with scaling.dryRun: true), or metadata.metric to lag",
                model.name()
            )));
        }
        Ok(Self { model, metric })
    }

    /// The metric with its target per replica.
    pub(super) fn spec(&self) -> MetricSpec {
        let target = match self.metric {
            Metric::Lag => self.model.config.scaling.lag_threshold.value.get(),
            Metric::Replicas => 1,
        };
        MetricSpec {
            metric_name: self.metric.name(),
            target_size: target.into(),
            target_size_float: target.into(),
        }
    }

    /// The current value.
    ///
    /// # Errors
    /// If the trigger has no metric called `name`. An empty name means its only metric.
    pub(super) fn value(
        &self,
        name: &str,
        status_store: &StatusStore,
    ) -> Result<MetricValue, Status> {
        let own = self.metric.name();
        if !name.is_empty() && name != own {
            return Err(Status::not_found(format!(
                "there is no metric {name:?}; with this metadata there is {own}"
            )));
        }
        let value = match self.metric {
            Metric::Lag => self.reading(status_store).in_flight(),
            Metric::Replicas => self.wanted(status_store).into(),
        };
        Ok(MetricValue {
            metric_name: own,
            metric_value: i64::try_from(value).unwrap_or(i64::MAX),
            metric_value_float: value as f64,
        })
    }

    /// The model's counts, summed over this proxy and its peers.
    pub(super) fn reading(&self, status_store: &StatusStore) -> Reading {
        let others = status_store.read(self.model.name(), |status| status.others);
        self.model
            .ledger
            .read()
            .plus(&others.unwrap_or_default())
            .demand()
    }

    /// How many replicas the model's policy wants, whether or not they were requested.
    pub(super) fn wanted(&self, status_store: &StatusStore) -> u32 {
        status_store
            .read(self.model.name(), |status| status.wanted)
            .unwrap_or(self.model.config.replicas.initial)
    }
}

fn names(table: &RouteTable) -> String {
    let mut all: Vec<_> = table.models.keys().map(|name| &**name).collect();
    all.sort_unstable();
    let more = if all.len() > LISTED { ", …" } else { "" };
    all.truncate(LISTED);
    format!("there are: {}{more}", all.join(", "))
}

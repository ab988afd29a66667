//! The report of a simulation.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use tailback_config::Model;
use tailback_scaler::simulate::{Comparison, Setup, SimulationResult};

/// The comparison of policies, and its inputs.
#[derive(Debug)]
pub struct Report {
    /// The results of the policies.
    pub comparison: Comparison,
    /// The trace's name and how it was changed.
    pub source: String,
    /// Requests left out because no replica served them.
    pub not_served: u64,
    /// Lines left out because they are incomplete.
    pub cut_off: u64,
    /// The meanings that were read from the trace, and their names in it.
    pub fields: BTreeMap<&'static str, String>,
    /// What a replica costs in an hour, if that is known.
    pub price: Option<f64>,
    /// The model, if it is from manifests.
    pub model: Option<Arc<Model>>,
    /// The conditions and settings of all policies.
    pub setup: Setup,
}

impl Report {
    /// The settings in one line.
    #[must_use]
    pub fn settings(&self) -> String {
        let (settings, conditions) = (&self.setup.settings, &self.setup.conditions);
        let mut text = String::new();
        if let Some(model) = &self.model {
            text += &format!("model {}: ", model.name);
        }
        text += &match conditions.concurrency {
            Some(slots) => format!("concurrency {slots}"),
            None => "no limit on concurrency".to_owned(),
        };
        text += &format!(", threshold {}, ", settings.threshold);
        text += &match (settings.scaled, settings.max) {
            (false, _) => format!("{} replicas, not scaled", conditions.initial),
            (true, u32::MAX) => format!("at least {} replicas", settings.min),
            (true, max) => format!("{} to {max} replicas", settings.min),
        };
        text + &format!(
            ", start-up {}, wait {} s, unused {} s, stable {} s, seed {}",
            conditions.start_up,
            settings.target_wait.as_secs_f64(),
            settings.inactive.as_secs_f64(),
            settings.stability.as_secs_f64(),
            conditions.seed
        )
    }

    /// For each policy, how many requests waited longer than the model holds them.
    fn given_up(&self, limit: Duration) -> Vec<String> {
        let late = |outcome: &SimulationResult| {
            let within = outcome.attainment(limit) * outcome.waits.len() as f64;
            outcome.waits.len() - within.round() as usize
        };
        (self.comparison.outcomes.iter())
            .map(|outcome| (outcome, late(outcome)))
            .filter(|&(_, late)| late > 0)
            .map(|(outcome, late)| format!("{} {late}", outcome.name))
            .collect()
    }
}

/// The cost of a policy's replicas, at `price` per replica and hour.
pub(super) fn cost(outcome: &SimulationResult, price: f64) -> f64 {
    outcome.replica_seconds / 3600.0 * price
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.comparison)?;
        writeln!(f, "Settings: {}.", self.settings())?;
        if let Some(model) = &self.model {
            if !self.setup.settings.scaled {
                writeln!(
                    f,
                    "Model {} is not scaled, as it has neither minReplicas nor maxReplicas; try it by --min and --max.",
                    model.name
                )?;
            }
            let limit = model.hold.deadline.value;
            let given_up = self.given_up(limit);
            if !given_up.is_empty() {
                writeln!(
                    f,
                    "Waited longer than hold.seconds, {} s, after which serve refuses them: {}.",
                    limit.as_secs_f64(),
                    given_up.join(", ")
                )?;
            }
        }
        if let Some(price) = self.price {
            let costs = self.comparison.outcomes.iter();
            let costs = costs.map(|one| format!("{} {:.2}", one.name, cost(one, price)));
            let costs = costs.collect::<Vec<_>>().join(", ");
            writeln!(f, "Costs, at {price} for a replica and hour: {costs}.")?;
        }
        let fields = self
            .fields
            .iter()
            .map(|(what, name)| match **what == **name {
                true => name.clone(),
                false => format!("{what} from {name}"),
            });
        let fields: Vec<_> = fields.collect();
        writeln!(f, "Read: {}.", fields.join(", "))?;
        if self.not_served > 0 {
            writeln!(
                f,
                "Left out: {} requests that no replica served, so that their service time is not known.",
                self.not_served
            )?;
        }
        if self.cut_off > 0 {
            writeln!(f, "Left out: {} incomplete lines.", self.cut_off)?;
        }
        Ok(())
    }
}

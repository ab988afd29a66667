//! The table of a comparison of load-balancing strategies.

use std::fmt;

use super::{
    engine::{Conditions, RoutingResult},
    router::Rules,
};

/// The results of each strategy, and their inputs.
#[derive(Debug)]
pub struct CacheReport {
    /// The name of the prompts.
    pub source: String,
    /// In the order in which the strategies were requested.
    pub outcomes: Vec<RoutingResult>,
    /// The properties of the replicas.
    pub conditions: Conditions,
    /// The settings of the strategies.
    pub rules: Rules,
    /// How many requests there were.
    pub requests: usize,
}

impl fmt::Display for CacheReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<18} {:>8} {:>10} {:>8} {:>8} {:>8} {:>12}",
            "strategy", "cached", "TTFT mean", "p50", "p90", "p99", "most/mean"
        )?;
        for outcome in &self.outcomes {
            writeln!(
                f,
                "{:<18} {:>6.1} % {:>8.2} s {:>6.2} s {:>6.2} s {:>6.2} s {:>12.2}",
                outcome.name,
                100.0 * outcome.cached_share,
                outcome.mean(),
                outcome.quantile(0.5),
                outcome.quantile(0.9),
                outcome.quantile(0.99),
                outcome.imbalance
            )?;
        }
        let conditions = &self.conditions;
        writeln!(f, "\nRequests: {} of {}.", self.requests, self.source)?;
        writeln!(
            f,
            "Settings: {} replicas, each {} tokens of cache, {} tokens/s of prompts, {} s a token of answers; rate ×{}, loadFactor {}, tableSize {}, {} workers, seed {}.",
            conditions.replicas,
            conditions.cache_tokens,
            conditions.prefill_rate,
            conditions.decode_seconds,
            conditions.rate,
            self.rules.prefix.load_factor,
            self.rules.prefix.table_size,
            self.rules.workers,
            conditions.seed
        )
    }
}

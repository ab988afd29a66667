//! The tables of a simulation of several models.

use std::fmt;

use tailback_scaler::simulate::fleet::{FleetResult, FleetSetup, answered, wait_quantile};

/// The results of each policy, and their inputs.
#[derive(Debug)]
pub struct FleetReport {
    /// In the order in which the policies were requested.
    pub results: Vec<FleetResult>,
    /// The name of the requests' file.
    pub source: String,
    /// How many requests there were.
    pub requests: usize,
    /// Requests that were left out because no replica served them.
    pub not_served: u64,
    /// Lines that were left out because they are incomplete.
    pub cut_off: u64,
    /// The names of models whose requests were left out, because these models share no room.
    pub others: String,
    /// The room and the models.
    pub setup: FleetSetup,
}

impl fmt::Display for FleetReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<13} {:>9} {:>9} {:>9} {:>9} {:>7} {:>8} {:>10}",
            "policy",
            "answered",
            "p50 wait",
            "p99 wait",
            "max wait",
            "loads",
            "an hour",
            "evictions"
        )?;
        for result in &self.results {
            let hours = result.end.as_secs_f64().max(1.0) / 3600.0;
            writeln!(
                f,
                "{:<13} {:>7.2} % {:>9} {:>9} {:>9} {:>7} {:>8.1} {:>10}",
                result.placer.to_string(),
                100.0 * answered(&result.waits),
                wait(&result.waits, 0.5),
                wait(&result.waits, 0.99),
                wait(&result.waits, 1.0),
                result.loads(),
                f64::from(result.loads()) / hours,
                result.evictions
            )?;
        }
        if let Some(first) = self.results.first() {
            self.models(first, f)?;
        }
        let end = self.results.iter().map(|result| result.end).max();
        writeln!(
            f,
            "\nRequests: {} of {} in {:.0} s. A wait is the time that a request is held; — stands for those that were held for \
             longer than they may be (hold.seconds), and not answered.",
            self.requests,
            self.source,
            end.unwrap_or_default().as_secs_f64()
        )?;
        if self.not_served > 0 || self.cut_off > 0 {
            writeln!(
                f,
                "Left out: {} requests that no replica had, {} incomplete lines.",
                self.not_served, self.cut_off
            )?;
        }
        if !self.others.is_empty() {
            writeln!(
                f,
                "Left out: requests of {}, which share no room.",
                self.others
            )?;
        }
        Ok(())
    }
}

impl FleetReport {
    /// The table of models under one policy.
    fn models(&self, result: &FleetResult, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.setup.models.iter().map(|model| &*model.need.name);
        let width = names.clone().map(|name| name.chars().count()).max();
        let width = width.unwrap_or(0).clamp(13, 40);
        let title = format!("with {}", result.placer);
        writeln!(
            f,
            "\n{title:<width$} {:>9} {:>9} {:>9} {:>9} {:>7} {:>9} {:>8}",
            "requests", "answered", "p50 wait", "p99 wait", "loads", "each", "there"
        )?;
        let span = result.end.as_secs_f64().max(f64::MIN_POSITIVE);
        for (name, (own, model)) in names.zip(result.models.iter().zip(&self.setup.models)) {
            writeln!(
                f,
                "{name:<width$} {:>9} {:>7.2} % {:>9} {:>9} {:>7} {:>7.1} s {:>6.1} %",
                own.waits.len(),
                100.0 * answered(&own.waits),
                wait(&own.waits, 0.5),
                wait(&own.waits, 0.99),
                own.loads,
                model.load.as_secs_f64(),
                100.0 * own.resident_seconds / span
            )?;
        }
        Ok(())
    }
}

/// A policy's results in one line.
pub(super) fn summary(result: &FleetResult) -> String {
    let within = |q| wait(&result.waits, q).replace('—', "not answered");
    format!(
        "{:.2} % answered, {} loads, median wait {}, 99th percentile {}",
        100.0 * answered(&result.waits),
        result.loads(),
        within(0.5),
        within(0.99)
    )
}

/// A quantile of waits, or a dash if requests of that quantile were not answered.
fn wait(waits: &[f32], q: f64) -> String {
    let seconds = wait_quantile(waits, q);
    match seconds.is_finite() {
        true => format!("{seconds:.2} s"),
        false => "—".to_owned(),
    }
}

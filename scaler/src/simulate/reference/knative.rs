//! Knative's pod autoscaler (KPA).
//!
//! Source: Knative Serving documentation, "Autoscaling" (concepts and the
//! `config-autoscaler` defaults): a tick of 2 s; concurrency as means over 1 s
//! samples of a stable window of 60 s and a panic window of 6 s; a target of
//! 70 % of the container concurrency; panic while the panic window wants twice
//! what is ready, for at least a stable window, in which the count is what the
//! higher of the two windows wants and does not fall; up to ×1000 and down to
//! ÷2 of what is ready, a tick.

use std::{collections::VecDeque, time::Duration};

use super::{bounded, recommendation};
use crate::{
    clock::Nanos,
    ledger::Reading,
    policy::{Observation, Recommendation, ScalingPolicy, Settings},
};

const SAMPLE: Duration = Duration::from_secs(1);
const STABLE_SAMPLES: usize = 60;
const PANIC_SAMPLES: usize = 6;
const STABLE_WINDOW: Duration = Duration::from_secs(60);
const SAMPLES_A_TICK: u32 = 2;
const UTILISATION: f64 = 0.7;
const PANIC_THRESHOLD: f64 = 2.0;
const MAX_UP_RATE: f64 = 1000.0;
const MAX_DOWN_RATE: f64 = 2.0;

/// The two windows and the panic mode.
#[derive(Debug)]
pub struct Knative {
    samples: VecDeque<f64>,
    last: Option<Reading>,
    count: u32,
    desired: u32,
    panic_since: Option<Nanos>,
    panic_most: u32,
}

impl Knative {
    /// An autoscaler with the documented defaults and `initial` replicas.
    #[must_use]
    pub fn new(initial: u32) -> Self {
        Self {
            samples: VecDeque::new(),
            last: None,
            count: 0,
            desired: initial,
            panic_since: None,
            panic_most: 0,
        }
    }

    fn sample(&mut self, reading: Reading) {
        if let Some(last) = self.last.replace(reading) {
            if self.samples.len() == STABLE_SAMPLES {
                self.samples.pop_front();
            }
            self.samples.push_back(reading.mean_in_flight(&last));
        }
    }

    /// The mean of the last `samples` samples, or of all if there are fewer.
    fn mean(&self, samples: usize) -> f64 {
        let found = samples.min(self.samples.len()).max(1);
        self.samples.iter().rev().take(found).sum::<f64>() / found as f64
    }

    fn tick(&mut self, seen: &Observation, settings: &Settings) -> u32 {
        let ready = f64::from(seen.ready.max(1));
        let target = UTILISATION * f64::from(settings.slots);
        let (most, least) = (
            (MAX_UP_RATE * ready).ceil(),
            (ready / MAX_DOWN_RATE).floor(),
        );
        let wanted = |load: f64| (load / target).ceil();
        let stable = wanted(self.mean(STABLE_SAMPLES)).clamp(least, most) as u32;
        let panicked = wanted(self.mean(PANIC_SAMPLES));
        let over = panicked / ready >= PANIC_THRESHOLD;
        let panicked = panicked.clamp(least, most) as u32;
        match self.panic_since {
            None if over => {
                self.panic_since = Some(seen.reading.at);
                self.panic_most = 0;
            }
            Some(_) if over => self.panic_since = Some(seen.reading.at),
            Some(since) if seen.reading.at.since(since) > STABLE_WINDOW => self.panic_since = None,
            _ => {}
        }
        let desired = if self.panic_since.is_some() {
            self.panic_most = self.panic_most.max(panicked).max(stable);
            self.panic_most
        } else {
            stable
        };
        bounded(desired, settings)
    }

    fn look(&mut self, seen: &Observation, settings: &Settings) -> u32 {
        self.sample(seen.reading);
        self.count += 1;
        if self.count.is_multiple_of(SAMPLES_A_TICK) {
            self.desired = self.tick(seen, settings);
        }
        self.desired
    }
}

impl ScalingPolicy for Knative {
    fn name(&self) -> &'static str {
        "knative"
    }

    fn interval(&self) -> Option<Duration> {
        Some(SAMPLE)
    }

    fn recommend(&mut self, seen: &Observation, settings: &Settings) -> Recommendation {
        recommendation(self.name(), self.look(seen, settings))
    }
}

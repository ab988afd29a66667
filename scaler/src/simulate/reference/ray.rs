//! Ray Serve's autoscaler.
//!
//! Source: Ray Serve documentation, "Advanced autoscaling": the mean of ongoing requests, queued
//! ones included, over a look-back of 30 s; replicas × (mean per replica ÷
//! target_ongoing_requests); up once that was higher for 30 s, down once it was lower for 600 s,
//! to zero only from one; smoothing factors of 1. While no replica runs, there is nothing to
//! multiply: a request starts one at once, and the count stays as asked for. The target is the
//! replica's concurrency (with Ray's default of 2, it would ask for some 2 to 4 times as many
//! replicas).

use std::{collections::VecDeque, time::Duration};

use super::{recommendation, replicas};
use crate::{
    clock::Nanos,
    ledger::Reading,
    policy::{Observation, Recommendation, ScalingPolicy, Settings},
};

const INTERVAL: Duration = Duration::from_secs(1);
const LOOK_BACK: Duration = Duration::from_secs(30);
const UP_DELAY: Duration = Duration::from_secs(30);
const DOWN_DELAY: Duration = Duration::from_secs(600);

/// The look-back window, and since when another count is wanted.
#[derive(Debug)]
pub struct Ray {
    desired: u32,
    readings: VecDeque<Reading>,
    /// Since when a higher count is wanted; `down_since`: a lower one.
    up_since: Option<Nanos>,
    down_since: Option<Nanos>,
}

impl Ray {
    /// An autoscaler with the documented defaults and `initial` replicas.
    #[must_use]
    pub fn new(initial: u32) -> Self {
        Self {
            desired: initial,
            readings: VecDeque::new(),
            up_since: None,
            down_since: None,
        }
    }

    fn look(&mut self, seen: &Observation, settings: &Settings) -> u32 {
        let now = seen.reading.at;
        self.readings.push_back(seen.reading);
        while self
            .readings
            .get(1)
            .is_some_and(|second| now.since(second.at) >= LOOK_BACK)
        {
            self.readings.pop_front();
        }
        let mean = self
            .readings
            .front()
            .map_or(0.0, |oldest| seen.reading.mean_in_flight(oldest));
        if seen.ready == 0 {
            self.desired = self.desired.max(u32::from(seen.lag() > 0));
            return self.desired;
        }
        let wanted = replicas(mean, f64::from(settings.slots), settings);
        // To zero only from one.
        let wanted = wanted.max(u32::from(self.desired > 1));
        let waited = |since: &mut Option<Nanos>, delay: Duration| {
            now.since(*since.get_or_insert(now)) >= delay
        };
        let act = if wanted > self.desired {
            self.down_since = None;
            waited(&mut self.up_since, UP_DELAY)
        } else if wanted < self.desired {
            self.up_since = None;
            waited(&mut self.down_since, DOWN_DELAY)
        } else {
            (self.up_since, self.down_since) = (None, None);
            false
        };
        if act {
            (self.up_since, self.down_since) = (None, None);
            self.desired = wanted;
        }
        self.desired
    }
}

impl ScalingPolicy for Ray {
    fn name(&self) -> &'static str {
        "ray"
    }

    fn interval(&self) -> Option<Duration> {
        Some(INTERVAL)
    }

    fn recommend(&mut self, seen: &Observation, settings: &Settings) -> Recommendation {
        recommendation(self.name(), self.look(seen, settings))
    }
}

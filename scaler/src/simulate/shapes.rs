//! Synthetic traces in the shapes of demand that a scaler must handle.
//!
//! Arrivals are a Poisson process whose rate follows the shape; service times
//! are drawn independently. The same seed gives the same trace.

use std::{f64::consts::TAU, fmt, str::FromStr, time::Duration};

use super::trace::{Request, Trace};
use crate::clock::Nanos;

/// A shape of demand. Rates are requests a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// 10 a second for an hour, 1 s each on average.
    Steady,
    /// A day in four hours: 1 to 19 a second and back, 1 s each.
    Day,
    /// 3 a second; 15 for the second of three times 20 minutes; 1 s each.
    Step,
    /// From 1 to 20 a second within 40 minutes, 10 minutes there, and down in 10; 1 s each.
    Ramp,
    /// 3 a second for an hour, but 30 in minute 30; 1 s each.
    Spike,
    /// A minute of 20 a second, four of none, for an hour and a half; 1 s each.
    OnOff,
    /// 5 a second for an hour; 2 s each on average, of which one in a hundred takes over 20 s.
    Heavy,
    /// Bursts of 10 to 60 s with 5 to 30 a second, at random, 90 s apart on average, on top of 2 a second.
    Bursts,
}

impl Shape {
    /// All shapes.
    pub const ALL: [Self; 8] = [
        Self::Steady,
        Self::Day,
        Self::Step,
        Self::Ramp,
        Self::Spike,
        Self::OnOff,
        Self::Heavy,
        Self::Bursts,
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Day => "day",
            Self::Step => "step",
            Self::Ramp => "ramp",
            Self::Spike => "spike",
            Self::OnOff => "on-off",
            Self::Heavy => "heavy",
            Self::Bursts => "bursts",
        }
    }

    /// The trace of this shape for `seed`.
    #[must_use]
    pub fn trace(self, seed: u64) -> Trace {
        let mut rng = fastrand::Rng::with_seed(seed);
        let minutes = |n: f64| 60.0 * n;
        let mean = if self == Self::Heavy { 2.0 } else { 1.0 };
        let service = |rng: &mut fastrand::Rng| match self {
            // Log-normal with σ = 1.5: its 99th percentile is 10.6 × the mean.
            Self::Heavy => mean * (1.5 * normal(rng) - 1.125).exp(),
            _ => mean * exponential(rng),
        };
        match self {
            Self::Steady => poisson(&mut rng, minutes(60.0), 10.0, |_| 10.0, service),
            Self::Day => poisson(
                &mut rng,
                minutes(240.0),
                19.0,
                |t| 10.0 - 9.0 * (TAU * t / minutes(240.0)).cos(),
                service,
            ),
            Self::Step => poisson(
                &mut rng,
                minutes(60.0),
                15.0,
                |t| {
                    if (minutes(20.0)..minutes(40.0)).contains(&t) {
                        15.0
                    } else {
                        3.0
                    }
                },
                service,
            ),
            Self::Ramp => poisson(
                &mut rng,
                minutes(60.0),
                20.0,
                |t| {
                    let up = 1.0 + 19.0 * t / minutes(40.0);
                    let down = 20.0 - 19.0 * (t - minutes(50.0)) / minutes(10.0);
                    up.min(down).min(20.0)
                },
                service,
            ),
            Self::Spike => poisson(
                &mut rng,
                minutes(60.0),
                30.0,
                |t| {
                    if (minutes(30.0)..minutes(31.0)).contains(&t) {
                        30.0
                    } else {
                        3.0
                    }
                },
                service,
            ),
            Self::OnOff => poisson(
                &mut rng,
                minutes(90.0),
                20.0,
                |t| {
                    if t % minutes(5.0) < minutes(1.0) {
                        20.0
                    } else {
                        0.0
                    }
                },
                service,
            ),
            Self::Heavy => poisson(&mut rng, minutes(60.0), 5.0, |_| 5.0, service),
            Self::Bursts => {
                let bursts = bursts(&mut rng, minutes(60.0));
                let rate = |t: f64| {
                    let now = bursts
                        .iter()
                        .filter(|(from, to, _)| (*from..*to).contains(&t));
                    2.0 + now.map(|(_, _, rate)| rate).sum::<f64>()
                };
                poisson(&mut rng, minutes(60.0), 100.0, rate, service)
            }
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|shape| shape.as_str() == text);
        found.ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            format!("found {text:?}, expected a shape: {all}")
        })
    }
}

/// Makes a trace of `counts`, the number of arrivals in each `interval`. Arrivals are spread
/// uniformly over their interval, as in a Poisson process with a given count. Times in service
/// are exponential, with a mean of `mean_service` seconds.
#[must_use]
pub fn spread(counts: &[u32], interval: Duration, mean_service: f64, seed: u64) -> Trace {
    let mut rng = fastrand::Rng::with_seed(seed);
    let length = interval.as_secs_f64();
    let mut requests = Vec::with_capacity(counts.iter().map(|&n| n as usize).sum());
    for (number, &count) in counts.iter().enumerate() {
        for _ in 0..count {
            let at = (number as f64 + rng.f64()) * length;
            requests.push(request(at, mean_service * exponential(&mut rng)));
        }
    }
    Trace::new(requests)
}

/// A Poisson process of `rate(t)` arrivals a second, at most `most`, by thinning (Lewis &
/// Shedler, 1979).
fn poisson(
    rng: &mut fastrand::Rng,
    seconds: f64,
    most: f64,
    rate: impl Fn(f64) -> f64,
    service: impl Fn(&mut fastrand::Rng) -> f64,
) -> Trace {
    let mut requests = Vec::new();
    let mut t = exponential(rng) / most;
    while t < seconds {
        if rng.f64() * most < rate(t) {
            requests.push(request(t, service(rng)));
        }
        t += exponential(rng) / most;
    }
    Trace::new(requests)
}

/// Random bursts: beginning, end and rate of each.
fn bursts(rng: &mut fastrand::Rng, seconds: f64) -> Vec<(f64, f64, f64)> {
    let mut bursts = Vec::new();
    let mut t = 90.0 * exponential(rng);
    while t < seconds {
        bursts.push((t, t + 10.0 + 50.0 * rng.f64(), 5.0 + 25.0 * rng.f64()));
        t += 90.0 * exponential(rng);
    }
    bursts
}

fn request(at: f64, service: f64) -> Request {
    Request {
        at: Nanos::from_duration(Duration::from_secs_f64(at)),
        service: Duration::from_secs_f64(service.min(1e6)),
    }
}

/// An exponentially distributed number with a mean of 1.
fn exponential(rng: &mut fastrand::Rng) -> f64 {
    -(1.0 - rng.f64()).ln()
}

/// A standard normal number (Box & Muller, 1958).
fn normal(rng: &mut fastrand::Rng) -> f64 {
    (2.0 * exponential(rng)).sqrt() * (TAU * rng.f64()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_offer_what_they_state() {
        for (shape, requests, work) in [
            (Shape::Steady, 36_000.0, 36_000.0),
            (Shape::Day, 144_000.0, 144_000.0),
            (Shape::Step, 25_200.0, 25_200.0),
            (Shape::OnOff, 21_600.0, 21_600.0),
            (Shape::Heavy, 18_000.0, 36_000.0),
        ] {
            let trace = shape.trace(1);
            let count = trace.requests().len() as f64;
            assert!(
                (count / requests - 1.0).abs() < 0.05,
                "{shape}: {count} requests"
            );
            assert!(
                (trace.work() / work - 1.0).abs() < 0.2,
                "{shape}: {} s",
                trace.work()
            );
            assert_eq!(trace, shape.trace(1), "{shape}: seeded");
            assert_eq!(shape.as_str().parse(), Ok(shape));
        }
    }

    #[test]
    fn counts_are_spread_over_their_interval() {
        let trace = spread(&[3, 0, 2], Duration::from_secs(60), 0.5, 1);
        let minutes: Vec<_> = trace
            .requests()
            .iter()
            .map(|r| r.at.0 / 60_000_000_000)
            .collect();
        assert_eq!(minutes, [0, 0, 0, 2, 2]);
    }
}

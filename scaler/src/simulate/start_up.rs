//! The start-up time of simulated replicas.

use std::{fmt, str::FromStr, time::Duration};

/// Time from asking for a replica until it takes requests.
#[derive(Clone, Debug, PartialEq)]
pub enum StartUp {
    /// Always the same.
    Constant(Duration),
    /// A distribution by its quantiles: shares of all starts (0 to 1, ascending) and the time
    /// that they do not exceed, interpolated linearly.
    Quantiles(Vec<(f64, Duration)>),
    /// Replicas never become ready.
    Never,
}

impl StartUp {
    /// The load times of base models in a public GPU cluster: 22.7 s (median), 42.0 s (p90), 51.8
    /// s (p99), 79.4 s (longest) of 7,531 loads. The shortest is not published; half the median
    /// is assumed.
    #[must_use]
    pub fn gpu_cluster() -> Self {
        let at = |share, seconds| (share, Duration::from_secs_f64(seconds));
        Self::Quantiles(vec![
            at(0.0, 11.35),
            at(0.5, 22.7),
            at(0.9, 42.0),
            at(0.99, 51.8),
            at(1.0, 79.4),
        ])
    }

    /// Draws the time of one start; `None`: never ready.
    pub fn draw(&self, rng: &mut fastrand::Rng) -> Option<Duration> {
        match self {
            Self::Constant(time) => Some(*time),
            Self::Never => None,
            Self::Quantiles(points) => {
                let share = rng.f64();
                let above = points.iter().position(|&(p, _)| p >= share);
                let (high, long) = match above {
                    Some(i) => points[i],
                    None => *points.last()?,
                };
                let (low, short) = above
                    .and_then(|i| i.checked_sub(1))
                    .map_or((high, long), |i| points[i]);
                let part = if high > low {
                    (share - low) / (high - low)
                } else {
                    0.0
                };
                Some(short + long.saturating_sub(short).mul_f64(part.clamp(0.0, 1.0)))
            }
        }
    }

    /// The mean time, for the clairvoyant bound; `None`: never ready.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        match self {
            Self::Constant(time) => Some(*time),
            Self::Never => None,
            Self::Quantiles(points) => Some(
                points
                    .windows(2)
                    .map(|pair| (pair[0].1 + pair[1].1).mul_f64((pair[1].0 - pair[0].0) / 2.0))
                    .sum(),
            ),
        }
    }
}

impl fmt::Display for StartUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(time) => write!(f, "{} s", time.as_secs_f64()),
            Self::Quantiles(points) => {
                let end = |point: Option<&(f64, Duration)>| {
                    point.map_or(0.0, |&(_, time)| time.as_secs_f64())
                };
                let (least, most) = (end(points.first()), end(points.last()));
                write!(f, "{least} to {most} s")
            }
            Self::Never => f.write_str("never"),
        }
    }
}

/// Reads seconds, `gpu-cluster`, shares with seconds such as `0:10,0.5:23,1:80`, or `never`.
impl FromStr for StartUp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!(
                "found {what:?}, expected seconds such as 30, shares with seconds such as 0:10,0.5:23,1:80 \
                 (ascending, from share 0 to 1), gpu-cluster, or never"
            )
        };
        let seconds = |text: &str| {
            text.trim()
                .parse::<f64>()
                .ok()
                .filter(|s| (0.0..1e9).contains(s))
                .map(Duration::from_secs_f64)
        };
        match text {
            "gpu-cluster" => return Ok(Self::gpu_cluster()),
            "never" => return Ok(Self::Never),
            _ => {}
        }
        if let Some(time) = seconds(text) {
            return Ok(Self::Constant(time));
        }
        let mut points = Vec::new();
        for pair in text.split(',') {
            let point = pair.split_once(':').and_then(|(share, time)| {
                Some((share.trim().parse::<f64>().ok()?, seconds(time)?))
            });
            points.push(point.ok_or_else(|| wrong(text))?);
        }
        let ascending = points.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1);
        let whole =
            points.first().is_some_and(|p| p.0 == 0.0) && points.last().is_some_and(|p| p.0 == 1.0);
        if ascending && whole {
            Ok(Self::Quantiles(points))
        } else {
            Err(wrong(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_distribution() {
        let start_up = StartUp::gpu_cluster();
        let mut rng = fastrand::Rng::with_seed(1);
        let mut drawn: Vec<_> = (0..10_000)
            .filter_map(|_| start_up.draw(&mut rng))
            .collect();
        drawn.sort();
        for (share, expected) in [(0.5, 22.7), (0.9, 42.0), (0.99, 51.8)] {
            let found = drawn[(share * 10_000.0) as usize].as_secs_f64();
            assert!((found - expected).abs() < 1.0, "p{share}: {found}");
        }
        let mean = drawn.iter().sum::<Duration>().as_secs_f64() / 10_000.0;
        let stated = start_up.mean().unwrap().as_secs_f64();
        assert!((mean - stated).abs() < 0.5, "{mean} against {stated}");
    }

    #[test]
    fn reads_what_it_says_it_reads() {
        assert_eq!("30".parse(), Ok(StartUp::Constant(Duration::from_secs(30))));
        assert_eq!("gpu-cluster".parse(), Ok(StartUp::gpu_cluster()));
        assert!(
            matches!("0:10,0.5:23,1:80".parse(), Ok(StartUp::Quantiles(points)) if points.len() == 3)
        );
        for wrong in [
            "",
            "-1",
            "nan",
            "inf",
            "0:1",
            "0:1,0.5:2",
            "0:5,1:2",
            "0:1,0:2,1:3",
            "x:1,1:2",
        ] {
            assert!(wrong.parse::<StartUp>().is_err(), "{wrong:?}");
        }
    }
}

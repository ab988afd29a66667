//! Policies side by side: the same trace and conditions for each.

use std::{
    fmt,
    num::NonZeroUsize,
    str::FromStr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};

use super::{
    bound,
    conditions::Conditions,
    engine::simulate,
    outcome::SimulationResult,
    reference::{Hpa, Keda, Knative, KubeAi, Ray, StaticPool},
    scaler::SimulatedScaler,
    timeline::Extent,
    trace::Trace,
};
use crate::policy::{LONGEST_START, Policy, ScalingPolicy, Settings, Tuning};

/// Whose rules to simulate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// A policy of ours, as it runs live.
    Live(Policy),
    /// Knative's pod autoscaler.
    Knative,
    /// Kubernetes' HorizontalPodAutoscaler.
    Hpa,
    /// KEDA's HTTP add-on.
    Keda,
    /// KubeAI.
    KubeAi,
    /// Ray Serve.
    Ray,
    /// The smallest pool of a fixed size that meets the target.
    Static,
}

impl Contender {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Live(Policy::Lag),
        Self::Live(Policy::LagStep),
        Self::Knative,
        Self::Hpa,
        Self::Keda,
        Self::KubeAi,
        Self::Ray,
        Self::Static,
    ];

    /// As it is named on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live(policy) => policy.as_str(),
            Self::Knative => "knative",
            Self::Hpa => "hpa",
            Self::Keda => "keda",
            Self::KubeAi => "kubeai",
            Self::Ray => "ray",
            Self::Static => "static",
        }
    }
}

impl FromStr for Contender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = (Self::ALL.into_iter()).find(|one| one.as_str() == text.trim());
        found.ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            format!("found {text:?}, expected one of {all}")
        })
    }
}

/// What all contenders are given.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What surrounds them.
    pub conditions: Conditions,
    /// For our policies; their `policy` is the contender's.
    pub settings: Settings,
    /// Time between the periodic checks of our policies.
    pub period: Duration,
    /// The constants of our policies.
    pub tuning: Tuning,
    /// The wait that a request should not exceed.
    pub slo_wait: Duration,
    /// The share of requests, 0 to 1, that a static pool has to serve within it.
    pub static_attainment: f64,
}

/// The outcome of each contender, and what their costs are compared with.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// In the order they were asked for.
    pub outcomes: Vec<SimulationResult>,
    /// Replica-seconds of replicas that exist exactly while they are needed.
    pub needed: f64,
    /// Replica-seconds of one who knows the trace and must start replicas;
    /// `None` if they never get ready.
    pub clairvoyant: Option<f64>,
    /// Requests inside, were every one served at once, as [`Conditions::timeline`] asks for it.
    pub demand: Vec<Extent>,
    /// The wait that a request should not exceed.
    pub slo_wait: Duration,
    /// In the trace.
    pub requests: usize,
    /// From the first arrival to the last.
    pub span: Duration,
}

impl Comparison {
    /// Simulates each of `contenders`.
    #[must_use]
    pub fn run(trace: &Trace, contenders: &[Contender], setup: &Setup) -> Self {
        let Conditions {
            concurrency,
            start_up,
            timeline,
            ..
        } = &setup.conditions;
        let min = setup.settings.min;
        let clairvoyant = |start_up| bound::bound(trace, *concurrency, start_up, min);
        Self {
            outcomes: setup.outcomes(contenders, trace),
            needed: bound::needed(trace, *concurrency, min),
            demand: timeline.map_or_else(Vec::new, |width| bound::demand(trace, width)),
            clairvoyant: start_up.mean().map(clairvoyant),
            slo_wait: setup.slo_wait,
            requests: trace.requests().len(),
            span: trace.span(),
        }
    }

    /// What `cost` is as a multiple of what is needed; `None` if that is nothing.
    #[must_use]
    pub fn times_needed(&self, cost: f64) -> Option<f64> {
        (self.needed > 0.0).then(|| cost / self.needed)
    }
}

impl Setup {
    /// The live scaler's defaults under `conditions`, with `min` to `max`
    /// replicas, a wait of 1 s at most, and static pools for 99 of 100 requests.
    /// A replica may carry `threshold`, or as much as it takes at once; as live, a
    /// threshold that is set lower bounds its slots as well.
    #[must_use]
    pub fn new(conditions: Conditions, threshold: Option<u32>, min: u32, max: u32) -> Self {
        let slots = conditions.concurrency.unwrap_or(u32::MAX);
        Self {
            settings: Settings {
                policy: Policy::Lag,
                threshold: threshold.unwrap_or(slots),
                slots: slots.min(threshold.unwrap_or(u32::MAX)),
                target_wait: Duration::from_secs(1),
                inactive: Duration::from_secs(600),
                stability: Duration::from_secs(60),
                start: LONGEST_START,
                up_limit: None,
                down_limit: None,
                scaled: true,
                min,
                max,
            },
            conditions,
            period: Duration::from_secs(20),
            tuning: Tuning::default(),
            slo_wait: Duration::from_secs(1),
            static_attainment: 0.99,
        }
    }

    /// On as many threads as there are cores; each draws its own numbers, so
    /// the outcomes do not depend on which is first.
    fn outcomes(&self, contenders: &[Contender], trace: &Trace) -> Vec<SimulationResult> {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            // From the end: `static`, the last of the usual list, takes longest.
            while let Some(i) = (contenders.len()).checked_sub(1 + next.fetch_add(1, Relaxed)) {
                done.push((i, self.outcome(contenders[i], trace)));
            }
            done
        };
        let mut all = thread::scope(|scope| {
            let others: Vec<_> = (1..cores.min(contenders.len()))
                .map(|_| scope.spawn(work))
                .collect();
            let mut all = work();
            for other in others {
                match other.join() {
                    Ok(done) => all.extend(done),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            all
        });
        all.sort_by_key(|&(i, _)| i);
        all.into_iter().map(|(_, outcome)| outcome).collect()
    }

    fn outcome(&self, contender: Contender, trace: &Trace) -> SimulationResult {
        let initial = self.conditions.initial;
        let rules: Box<dyn ScalingPolicy> = match contender {
            Contender::Live(policy) => {
                let settings = Settings {
                    policy,
                    ..self.settings.clone()
                };
                let mut live = SimulatedScaler::live(settings, initial, self.period, &self.tuning);
                return simulate(trace, &self.conditions, &mut live);
            }
            Contender::Knative => Box::new(Knative::new(initial)),
            Contender::Hpa => Box::new(Hpa::new(initial)),
            Contender::Keda => Box::new(Keda::new(initial)),
            Contender::KubeAi => Box::new(KubeAi::new(initial)),
            Contender::Ray => Box::new(Ray::new(initial)),
            Contender::Static => return self.smallest_static_pool(trace),
        };
        // What a replica takes at once is what these rules aim at.
        let threshold = self.settings.threshold;
        let settings = Settings {
            slots: self.conditions.concurrency.unwrap_or(threshold),
            ..self.settings.clone()
        };
        let mut reference = SimulatedScaler::reference(rules, settings, initial);
        simulate(trace, &self.conditions, &mut reference)
    }

    /// The outcome of the smallest pool of a fixed size with which the share
    /// `static_attainment` of the requests waits at most `slo_wait`: by bisection.
    fn smallest_static_pool(&self, trace: &Trace) -> SimulationResult {
        let run = |count: u32| {
            let conditions = Conditions {
                initial: count,
                ..self.conditions.clone()
            };
            let pool = Box::new(StaticPool(count));
            let mut pool = SimulatedScaler::reference(pool, self.settings.clone(), count);
            simulate(trace, &conditions, &mut pool)
        };
        let room = self.settings.max.min(self.conditions.capacity);
        let most = bound::peak(trace, self.conditions.concurrency).min(room);
        let (mut low, mut high) = (0, most.max(1));
        let mut best = run(high);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let outcome = run(middle);
            if outcome.attainment(self.slo_wait) >= self.static_attainment {
                (high, best) = (middle, outcome);
            } else {
                low = middle;
            }
        }
        best.peak = high;
        best
    }
}

/// A table, a line a contender.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = format!("within {} s", self.slo_wait.as_secs_f64());
        writeln!(
            f,
            "{:<10} {within:>13} {:>9} {:>9} {:>9} {:>16} {:>9} {:>6} {:>15}",
            "policy",
            "p50 wait",
            "p99 wait",
            "max wait",
            "replica-seconds",
            "of bound",
            "peak",
            "scale requests"
        )?;
        let times = |cost| match self.times_needed(cost) {
            Some(times) => format!("{times:.2}×"),
            None => "–".to_owned(),
        };
        for outcome in &self.outcomes {
            writeln!(
                f,
                "{:<10} {:>11.2} % {:>9} {:>9} {:>9} {:>16.0} {:>9} {:>6} {:>15}",
                outcome.name,
                100.0 * outcome.attainment(self.slo_wait),
                wait(outcome.quantile(0.5)),
                wait(outcome.quantile(0.99)),
                wait(outcome.longest()),
                outcome.replica_seconds,
                times(outcome.replica_seconds),
                outcome.peak,
                outcome.scale_requests,
            )?;
        }
        write!(
            f,
            "\nRequests: {} in {:.0} s. Replica-seconds: from being asked for until gone; peak: of replicas asked for.\n\
             Bound: {:.0} replica-seconds, of replicas that start in no time and are there exactly while needed.\n",
            self.requests,
            self.span.as_secs_f64(),
            self.needed
        )?;
        match self.clairvoyant {
            Some(cost) => writeln!(
                f,
                "With all demand known beforehand, and starts as long as they are: {cost:.0} ({}).",
                times(cost)
            ),
            None => writeln!(f, "No replica ever gets ready."),
        }
    }
}

fn wait(seconds: f64) -> String {
    if seconds.is_finite() {
        format!("{seconds:.2} s")
    } else {
        "never".to_owned()
    }
}

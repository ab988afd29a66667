//! Compares policies on the same trace under the same conditions.

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

/// A policy to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// A policy of Tailback, as it runs live.
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
    /// The smallest fixed number of replicas that meets the target.
    Static,
}

impl Contender {
    /// All contenders.
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

    /// Its name on the command line.
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

/// What is the same for all contenders.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The conditions.
    pub conditions: Conditions,
    /// The settings of Tailback's policies. Each contender replaces `policy` by its own.
    pub settings: Settings,
    /// Time between the periodic evaluations of Tailback's policies.
    pub period: Duration,
    /// The constants of Tailback's policies.
    pub tuning: Tuning,
    /// The wait that a request should not exceed.
    pub slo_wait: Duration,
    /// The share of requests, 0 to 1, that a static pool must serve within `slo_wait`.
    pub static_attainment: f64,
}

/// The result of each contender, and the bounds for their costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The results, in the order of the contenders.
    pub outcomes: Vec<SimulationResult>,
    /// Replica-seconds of replicas that exist exactly while they are needed.
    pub needed: f64,
    /// Replica-seconds of a scaler that knows the trace and has the same start-up times
    /// ([`bound`]). `None` if replicas never become ready.
    pub clairvoyant: Option<f64>,
    /// Requests in flight if every one were served at once, in the slices of
    /// [`Conditions::timeline`].
    pub demand: Vec<Extent>,
    /// The wait that a request should not exceed.
    pub slo_wait: Duration,
    /// Number of requests in the trace.
    pub requests: usize,
    /// Time from the first arrival to the last.
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

    /// `cost` as a multiple of `needed`; `None` if that is 0.
    #[must_use]
    pub fn times_needed(&self, cost: f64) -> Option<f64> {
        (self.needed > 0.0).then(|| cost / self.needed)
    }
}

impl Setup {
    /// The live scaler's defaults under `conditions`, with `min` to `max` replicas, a wait of at
    /// most 1 s, and static pools that serve 99 % of the requests within it. `threshold` is the
    /// lag that a replica may carry; `None`: its concurrency. As live, a threshold below the
    /// concurrency limits its slots too.
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

    /// Runs the contenders on one thread for each core. Each has its own random numbers, so the
    /// results do not depend on the order.
    fn outcomes(&self, contenders: &[Contender], trace: &Trace) -> Vec<SimulationResult> {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            // From the end, because `static`, usually the last, takes longest.
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
        // The reference rules use the replica's concurrency as their target.
        let threshold = self.settings.threshold;
        let settings = Settings {
            slots: self.conditions.concurrency.unwrap_or(threshold),
            ..self.settings.clone()
        };
        let mut reference = SimulatedScaler::reference(rules, settings, initial);
        simulate(trace, &self.conditions, &mut reference)
    }

    /// Finds, by bisection, the smallest pool with which the share `static_attainment` of the
    /// requests waits at most `slo_wait`.
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

/// A table with one line for each contender.
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
            None => writeln!(f, "No replica ever becomes ready."),
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

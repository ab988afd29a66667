//! Decisions as data: the model, the count, and the reasons.

mod sentence;

use std::time::Duration;

use serde::{Serialize, Serializer};
use tailback_config::RateLimit;

use crate::ledger::SpanRef;

/// Why a policy recommended a count, or a constraint changed it, with the numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// `lag`: what arrives needs this many replicas.
    Demand {
        /** inside now */
        lag: u64,
        /** waiting */
        held: u64,
        /** requests to be served at once, now */
        load: f64,
        /** the same once a replica is ready that starts now */
        coming: f64,
        /** a replica's */
        start_up: Duration,
        /** recommended */
        replicas: u32,
        /** a replica's */
        slots: u32,
    },
    /// `lag`: a steady load needs this many replicas, with a reserve for chance.
    SteadyLoad {
        /** requests a second */
        rate: f64,
        /** seconds a request takes */
        service: f64,
        /** recommended */
        replicas: u32,
        /** a replica's */
        slots: u32,
    },
    /// `lag`: held requests are worked off beside what arrives.
    Backlog {
        /** inside now */
        lag: u64,
        /** waiting */
        held: u64,
        /** requests to be served at once */
        load: f64,
        /** recommended */
        replicas: u32,
        /** a replica's */
        slots: u32,
    },
    /// `lag`: replicas are worth keeping or starting, because demand for them keeps coming back.
    Recurring {
        /** recommended */
        replicas: u32,
        /** a replica's */
        start_up: Duration,
    },
    /// `lag`: this many replicas may carry the requests in flight.
    InFlight {
        /** inside now */
        lag: u64,
        /** recommended */
        replicas: u32,
        /** a replica's */
        threshold: u32,
    },
    /// `lag`: one replica stays, because the model was used lately.
    InUse {
        /** since the last use */
        idle: Duration,
        /** after which it may go */
        inactive: Duration,
    },
    /// `lag`: the model has had no request yet.
    NoDemand,
    /// In a simulation: the recommendation of another autoscaler's rule.
    Reference {
        /** its name */
        policy: &'static str,
        /** recommended */
        replicas: u32,
    },
    /// The lag is over the threshold, or for `lag-step` at it.
    LagOverThreshold {
        /** inside now */
        lag: u64,
        /** asked for */
        replicas: u32,
        /** a replica's */
        threshold: u32,
    },
    /// `lag`: the lag of the last seconds is over the threshold.
    LagStaysOver {
        /** inside, on average of the last 10 s */
        mean: f64,
        /** asked for */
        replicas: u32,
        /** a replica's */
        threshold: u32,
    },
    /// Requests wait and there is no replica.
    NoneThere {
        /** inside now */
        lag: u64,
    },
    /// The model was unused for the inactive time.
    Unused {
        /** for how long */
        idle: Duration,
    },
    /// `lag-step`: the current count is right.
    Enough {
        /** inside now */
        lag: u64,
        /** asked for */
        replicas: u32,
        /** a replica's */
        threshold: u32,
    },
    /// `lag-step`: replicas are missing or starting.
    NotAvailable {
        /** take traffic */
        ready: u32,
        /** asked for */
        desired: u32,
    },
    /// Neither minReplicas nor maxReplicas is set: the count is fixed.
    NotScaled {
        /** always */
        replicas: u32,
    },
    /// No count is configured: the orchestrator's own count stays.
    Followed {
        /// replicas that the orchestrator is asked for
        replicas: u32,
    },
    /// Changed by minReplicas or maxReplicas.
    Bounded {
        /** wanted */
        wanted: u32,
        /** minReplicas */
        min: u32,
        /** maxReplicas */
        max: u32,
    },
    /// The server has no room for as many replicas.
    NoCapacity {
        /** wanted */
        wanted: u32,
        /** fits */
        capacity: u32,
    },
    /// Scale-down waits because the replica set changed too recently.
    Unstable {
        /** wanted */
        wanted: u32,
        /** since the last change */
        unchanged: Duration,
        /** required */
        stability: Duration,
    },
    /// Scale-down waits because demand has not been watched for long enough.
    Unwatched {
        /** wanted */
        wanted: u32,
        /** since the start */
        watched: Duration,
        /** required */
        needed: Duration,
    },
    /// Starting replicas hang: only one more is asked for.
    Hanging {
        /** wanted */
        wanted: u32,
        /** on their way */
        starting: u32,
        /** since one last got ready */
        stalled: Duration,
    },
    /// Slowed down by a rate limit in the manifest.
    Limited {
        /** wanted */
        wanted: u32,
        /** allowed */
        limit: RateLimit,
    },
    /// The user has paused the model.
    Paused {
        /** wanted */
        wanted: u32,
    },
    /// An operator has asked for a count, for a while.
    Manual {
        /** asked for */
        replicas: u32,
        /** in seconds since 1970 (UTC) */
        until: u64,
        /** whoever asked */
        by: String,
    },
    /// The orchestrator has not reported yet what runs.
    AwaitingState,
    /// Somebody else changed the count, and Tailback accepts it.
    ExternalChange {
        /// the count now
        replicas: u32,
        /// how long Tailback sends no scale requests
        quiet: Duration,
    },
    /// Somebody else keeps changing the count, so Tailback does not scale the model for a while.
    Contested {
        /// the count now
        replicas: u32,
        /// how long Tailback sends no scale requests
        quiet: Duration,
    },
    /// Replicas found running at the start, and taken over.
    Found {
        /** asked for, by whomever */
        replicas: u32,
    },
    /// The first count after the start, or after a change of the configuration.
    Configured {
        /** asked for */
        replicas: u32,
    },
}

impl Reason {
    /// Its kind as one word, for a metric's label.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Demand { .. } => "demand",
            Self::SteadyLoad { .. } => "steady_load",
            Self::Backlog { .. } => "backlog",
            Self::Recurring { .. } => "recurring",
            Self::InFlight { .. } => "in_flight",
            Self::InUse { .. } => "in_use",
            Self::NoDemand => "no_demand",
            Self::Reference { .. } => "reference",
            Self::LagOverThreshold { .. } | Self::LagStaysOver { .. } => "lag_over_threshold",
            Self::NoneThere { .. } => "none_there",
            Self::Unused { .. } => "unused",
            Self::Enough { .. } => "enough",
            Self::NotAvailable { .. } => "not_available",
            Self::NotScaled { .. } => "not_scaled",
            Self::Followed { .. } => "followed",
            Self::Bounded { .. } => "bounded",
            Self::NoCapacity { .. } => "no_capacity",
            Self::Unstable { .. } => "unstable",
            Self::Unwatched { .. } => "unwatched",
            Self::Hanging { .. } => "hanging",
            Self::Limited { .. } => "limited",
            Self::Paused { .. } => "paused",
            Self::Manual { .. } => "manual",
            Self::AwaitingState => "awaiting_state",
            Self::ExternalChange { .. } => "external_change",
            Self::Contested { .. } => "contested",
            Self::Found { .. } => "found",
            Self::Configured { .. } => "configured",
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The outcome of one evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The desired count of replicas.
    pub desired: u32,
    /// Its reasons: the policy's first, then each constraint that changed the count.
    pub reasons: Vec<Reason>,
}

impl Decision {
    /// All reasons in one sentence.
    #[must_use]
    pub fn why(&self) -> String {
        sentence::join(&self.reasons)
    }
}

/// The outcome of a scale request.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleOutcome {
    /// The orchestrator accepted it.
    Accepted,
    /// It was not sent, because of dryRun.
    DryRun,
    /// The orchestrator refused it or failed, and why.
    Failed(String),
    /// Nothing was sent: somebody else changed the count.
    #[serde(rename = "foreign")]
    ExternalChange,
}

/// A scale decision and its outcome, for `/decisions` and the log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DecisionRecord {
    /// When it was made, in seconds since 1970 (UTC).
    pub time: f64,
    /// The model's name.
    pub model: String,
    /// The desired count before.
    pub from: u32,
    /// The desired count from now on.
    pub to: u32,
    /// Requests in flight at the time of the decision.
    pub lag: u64,
    /// How many of them waited for a replica.
    pub held: u64,
    /// Its reasons, in order.
    pub reasons: Vec<Reason>,
    /// The outcome of the scale request.
    pub outcome: ScaleOutcome,
    /// The trace of the request whose arrival led to the decision, if that request is traced.
    #[serde(serialize_with = "trace_id")]
    pub trace: Option<SpanRef>,
}

fn trace_id<S: Serializer>(span: &Option<SpanRef>, serializer: S) -> Result<S::Ok, S::Error> {
    match span {
        Some(span) => serializer.collect_str(span),
        None => serializer.serialize_none(),
    }
}

impl DecisionRecord {
    /// All reasons in one sentence.
    #[must_use]
    pub fn why(&self) -> String {
        sentence::join(&self.reasons)
    }
}

//! Decisions as data: what was decided, for which model, and why.

mod sentence;

use std::time::Duration;

use serde::{Serialize, Serializer};
use tailback_config::RateLimit;

/// Why a policy recommended, or a constraint changed, a count, with its numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// `lag`: what arrives needs so many.
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
    /// `lag`: a steady load needs so many, with a reserve for chance.
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
    /// `lag`: what waits is worked off beside what arrives.
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
    /// `lag`: replicas are worth keeping or starting, as demand for them keeps coming back.
    Recurring {
        /** recommended */
        replicas: u32,
        /** a replica's */
        start_up: Duration,
    },
    /// `lag`: as many as may carry what is inside.
    InFlight {
        /** inside now */
        lag: u64,
        /** recommended */
        replicas: u32,
        /** a replica's */
        threshold: u32,
    },
    /// `lag`: one stays, as the model was used lately.
    InUse {
        /** since the last use */
        idle: Duration,
        /** after which it may go */
        inactive: Duration,
    },
    /// `lag`: nothing was ever asked of the model.
    NoDemand,
    /// What another autoscaler would ask for, in a simulation.
    Reference {
        /** its name */
        policy: &'static str,
        /** recommended */
        replicas: u32,
    },
    /// The lag is over, or for `lag-step` at, the threshold.
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
    /// Requests wait, and there is no replica.
    NoneThere {
        /** inside now */
        lag: u64,
    },
    /// Unused for the inactive time.
    Unused {
        /** for how long */
        idle: Duration,
    },
    /// `lag-step`: the present count is right.
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
    /// Nothing says how many there are to be: what there is, is right.
    Followed {
        /// asked for, by whomever
        replicas: u32,
    },
    /// Held back by a bound.
    Bounded {
        /** wanted */
        wanted: u32,
        /** minReplicas */
        min: u32,
        /** maxReplicas */
        max: u32,
    },
    /// The server has no room for what is wanted.
    NoCapacity {
        /** wanted */
        wanted: u32,
        /** fits */
        capacity: u32,
    },
    /// Scale-down waits: the replica set changed too recently.
    Unstable {
        /** wanted */
        wanted: u32,
        /** since the last change */
        unchanged: Duration,
        /** required */
        stability: Duration,
    },
    /// Scale-down waits: demand has not been watched for long enough yet.
    Unwatched {
        /** wanted */
        wanted: u32,
        /** since the start */
        watched: Duration,
        /** required */
        needed: Duration,
    },
    /// Replicas on their way hang: only one more is tried.
    Hanging {
        /** wanted */
        wanted: u32,
        /** on their way */
        starting: u32,
        /** since one last got ready */
        stalled: Duration,
    },
    /// The user allows no faster change.
    Limited {
        /** wanted */
        wanted: u32,
        /** allowed */
        limit: RateLimit,
    },
    /// Paused by the user.
    Paused {
        /** wanted */
        wanted: u32,
    },
    /// What runs is not known yet.
    AwaitingState,
    /// Somebody else changed the count: it is taken over.
    ExternalChange {
        /// asked for now
        replicas: u32,
        /// for how long nothing is asked for
        quiet: Duration,
    },
    /// Somebody else keeps changing the count: it is left to them for a while.
    Contested {
        /// asked for now
        replicas: u32,
        /// for how long nothing is asked for
        quiet: Duration,
    },
    /// Found running at the start, and taken over.
    Found {
        /** asked for, by whomever */
        replicas: u32,
    },
    /// The first count after start, or after the configuration changed.
    Configured {
        /** asked for */
        replicas: u32,
    },
}

impl Reason {
    /// Its kind in one word, as a metric's label.
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

/// What becomes of a model's replica count.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The count from now on.
    pub desired: u32,
    /// What led to it: the policy's reason first, then each constraint that changed it.
    pub reasons: Vec<Reason>,
}

impl Decision {
    /// All reasons in one sentence.
    #[must_use]
    pub fn why(&self) -> String {
        sentence::join(&self.reasons)
    }
}

/// What came of asking the orchestrator.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleOutcome {
    /// It took the request.
    Accepted,
    /// It was not asked: dryRun.
    DryRun,
    /// It refused or failed; says why.
    Failed(String),
    /// Somebody else asked for it.
    #[serde(rename = "foreign")]
    ExternalChange,
}

/// A scale decision that was carried out (or tried), for `/decisions` and the log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DecisionRecord {
    /// Seconds since 1970.
    pub time: f64,
    /// Which model.
    pub model: String,
    /// Replicas asked for before.
    pub from: u32,
    /// Replicas asked for now.
    pub to: u32,
    /// Requests inside when it was decided.
    pub lag: u64,
    /// Those of them that waited.
    pub held: u64,
    /// Why.
    pub reasons: Vec<Reason>,
    /// What came of it.
    pub outcome: ScaleOutcome,
}

impl DecisionRecord {
    /// All reasons in one sentence.
    #[must_use]
    pub fn why(&self) -> String {
        sentence::join(&self.reasons)
    }
}

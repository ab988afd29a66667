//! The constants of demand and of the `lag` policy, each with its reason.
//!
//! They are not settings: a user sets what he wants (a wait, a threshold), these say
//! how to get there. How much results depend on each is in `docs/explanation/lag-policy.md`, as
//! `policies --sensitivity` measures it; none is fitted to one trace.

/// Every constant, by its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// What late work costs, as a multiple of the idle slot that would have prevented
    /// it. It decides how punctual and how dear scaling is: at 40 a slot is held ready
    /// if it is needed more than 1.5 minutes an hour.
    pub late_price: f64,
    /// The same while a backlog is worked off. Less, as replicas that are started for a
    /// backlog are all there, idle, until the stability time after the last of them.
    pub late_price_of_backlog: f64,
    /// Seconds that a start is taken to need before one was measured: what model
    /// servers take that load a few gigabytes.
    pub unmeasured_start_up: f64,
    /// Seconds; a backlog is not worked off faster than this. Sooner, the mean time in
    /// service of few requests would decide.
    pub shortest_drain: f64,
    /// Gaps that count as seen before any was, with a length of which the logarithm is
    /// evenly spread: little beside one that was seen.
    pub prior_gaps: f64,
    /// Seconds over which the deviation of the need of replicas is taken: twenty
    /// start-ups of 30 s.
    pub need_memory: f64,
    /// Seconds after which what was learned of requests counts for 1/e: long enough for
    /// a hundred requests of a few seconds, short enough to follow another mix of them.
    pub request_memory: f64,
    /// Standard deviations that are left to chance before a difference of rates is
    /// growth: looked for on four scales of time each second, less would see growth
    /// several times an hour where there is none.
    pub growth_deviations: f64,
    /// Requests whose mean time in service is believed; the mean of fewer is much of
    /// chance.
    pub service_sample: f64,
    /// Arrivals that count as a Poisson process's before any are seen.
    pub poisson_prior: f64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            late_price: 40.0,
            late_price_of_backlog: 30.0,
            unmeasured_start_up: 30.0,
            shortest_drain: 2.0,
            prior_gaps: 0.25,
            need_memory: 600.0,
            request_memory: 300.0,
            growth_deviations: 3.0,
            service_sample: 30.0,
            poisson_prior: 100.0,
        }
    }
}

/// A constant of a [`Tuning`], to be read or changed.
pub type Constant = fn(&mut Tuning) -> &mut f64;

impl Tuning {
    /// Every constant by its name.
    pub const CONSTANTS: [(&'static str, Constant); 10] = [
        ("late_price", |t| &mut t.late_price),
        ("late_price_of_backlog", |t| &mut t.late_price_of_backlog),
        ("unmeasured_start_up", |t| &mut t.unmeasured_start_up),
        ("shortest_drain", |t| &mut t.shortest_drain),
        ("prior_gaps", |t| &mut t.prior_gaps),
        ("need_memory", |t| &mut t.need_memory),
        ("request_memory", |t| &mut t.request_memory),
        ("growth_deviations", |t| &mut t.growth_deviations),
        ("service_sample", |t| &mut t.service_sample),
        ("poisson_prior", |t| &mut t.poisson_prior),
    ];
}

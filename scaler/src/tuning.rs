//! The constants of demand measurement and of the `lag` policy, each with its reason.
//!
//! They are not settings: users set goals (a wait, a threshold), and these constants determine how
//! to reach them. `docs/explanation/lag-policy.md` shows how much results depend on each, as
//! `policies --sensitivity` measures it. None is fitted to one trace.

/// Every constant, by its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// What a second of late work costs, as a multiple of a second of the idle slot that would
    /// have prevented it. It balances waiting against cost: at 40, a slot is kept ready if it is
    /// needed for more than 1.5 minutes an hour.
    pub late_price: f64,
    /// The price while a backlog is worked off. It is lower, because replicas started for a
    /// backlog stay idle until the stability time is over.
    pub late_price_of_backlog: f64,
    /// Seconds that a start is assumed to take before one was measured: about what a model server
    /// needs to load a few gigabytes.
    pub unmeasured_start_up: f64,
    /// The shortest time in which a backlog is worked off, in seconds. Below it, the result would
    /// depend on the mean time in service of a few requests.
    pub shortest_drain: f64,
    /// The weight of the prior of gaps, in gaps; the logarithm of their length is evenly spread.
    /// Small against one gap that was seen.
    pub prior_gaps: f64,
    /// Time constant of the deviation of needed replicas, in seconds: twenty start-ups of 30 s.
    pub need_memory: f64,
    /// Time constant of what is learned about requests, in seconds: long enough for a hundred
    /// requests of a few seconds, short enough to follow a changing mix.
    pub request_memory: f64,
    /// How many standard deviations a difference of rates must exceed to count as growth. Growth
    /// is tested on four time scales each second; a lower threshold would see it several times an
    /// hour where there is none.
    pub growth_deviations: f64,
    /// How many requests make their mean time in service reliable; the mean of fewer is largely
    /// chance.
    pub service_sample: f64,
    /// The weight of the prior of a Poisson process, in arrivals.
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

/// Gives access to one constant of a [`Tuning`].
pub type Constant = fn(&mut Tuning) -> &mut f64;

impl Tuning {
    /// All constants by name.
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

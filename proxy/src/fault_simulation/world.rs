//! What all of a simulation shares: its dice, and what was seen.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    fmt::Display,
    future::Future,
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

use fastrand::Rng;
use send_wrapper::SendWrapper;
use tokio::{task::JoinHandle, time::Instant};

use crate::net::simulated::{Link, NetworkFault, Plan};

/// How often the machine sleeps at most, and how long.
pub(super) const SLEEPS: u32 = 2;
pub(super) const LONGEST_SLEEP_MS: u64 = 12_000;
/// All of that.
pub(super) const ASLEEP: Duration = Duration::from_millis(SLEEPS as u64 * LONGEST_SLEEP_MS);

/// A request that a replica has read whole and works on.
struct Begun {
    at: Instant,
    link: Arc<Link>,
}

/// See the module.
pub(super) struct World {
    dice: RefCell<Rng>,
    /// How likely faults are: 0 for none.
    pub trouble: f64,
    started: Instant,
    /// No more faults happen.
    pub is_healed: Cell<bool>,
    next_id: Cell<u64>,
    begun: RefCell<BTreeMap<u64, Begun>>,
    /// What must not be.
    violations: RefCell<Vec<String>>,
    /// What happened.
    events: RefCell<Vec<String>>,
    /// How often what came of a request.
    tally: RefCell<BTreeMap<String, u64>>,
}

/// What one simulation has shown.
#[derive(Debug)]
pub(super) struct Shown {
    pub violations: Vec<String>,
    pub events: Vec<String>,
    pub tally: BTreeMap<String, u64>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Rng::with_seed(seed);
        let trouble = [0.0, 0.2, 0.5, 1.0][dice.usize(0..4)];
        Self {
            dice: RefCell::new(dice),
            trouble,
            started: Instant::now(),
            is_healed: Cell::new(false),
            next_id: Cell::new(1),
            begun: RefCell::default(),
            violations: RefCell::default(),
            events: RefCell::default(),
            tally: RefCell::default(),
        }
    }

    /// Whether nothing goes wrong in this simulation.
    pub(super) fn is_calm(&self) -> bool {
        self.trouble == 0.0
    }

    /// Whether something that is no fault happens.
    pub(super) fn chance(&self, probability: f64) -> bool {
        self.dice.borrow_mut().f64() < probability
    }

    /// Whether a fault happens that in the worst trouble has this probability.
    pub(super) fn goes_wrong(&self, probability: f64) -> bool {
        !self.is_healed.get() && self.chance(probability * self.trouble)
    }

    pub(super) fn number(&self, range: RangeInclusive<u64>) -> u64 {
        self.dice.borrow_mut().u64(range)
    }

    pub(super) fn milliseconds(&self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }

    /// A size: small as a rule, and as large as `most` at times.
    pub(super) fn size(&self, most: u64) -> usize {
        let most = match self.number(0..=9) {
            0 => 0,
            1..=6 => 200,
            7 | 8 => 20_000,
            _ => most,
        };
        usize::try_from(self.number(0..=most)).unwrap()
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next_id.replace(self.next_id.get() + 1)
    }

    /// What is to happen on a new connection.
    pub(super) fn plan(&self) -> Plan {
        let mut plan = Plan {
            latency: self.milliseconds(0..=8),
            faults: [VecDeque::new(), VecDeque::new()],
        };
        for faults in &mut plan.faults {
            if self.goes_wrong(0.3) {
                let most = [400, 3_000, 200_000][self.number(0..=2) as usize];
                faults.push_back((self.number(0..=most), self.fault()));
            }
        }
        plan
    }

    fn fault(&self) -> NetworkFault {
        match self.number(0..=9) {
            0..=4 => NetworkFault::Reset,
            5..=7 => NetworkFault::Stall(self.milliseconds(50..=9_000)),
            _ => NetworkFault::Partition(self.milliseconds(500..=45_000)),
        }
    }

    /// A replica has read the whole request `id`, and begins to work on it. `once`: it must not be
    /// run twice.
    ///
    /// An exception is documented: where a connection ends within 5 ms of the request, the replica was
    /// closing it.
    pub(super) fn begins(&self, id: u64, once: bool, link: &Arc<Link>) {
        let now = Instant::now();
        let begun = Begun {
            at: now,
            link: link.clone(),
        };
        let Some(before) = self.begun.borrow_mut().insert(id, begun) else {
            return;
        };
        let ended = before.link.ended();
        let had = ended.unwrap_or(now).duration_since(before.at);
        self.count("run again");
        if once && (ended.is_none() || had > Duration::from_millis(5)) {
            self.violated(format!(
                "request {id} was run twice; the first replica had it for {had:?}"
            ));
        }
    }

    /// Takes down that something is as it must not be.
    pub(super) fn violated(&self, what: String) {
        self.event(format_args!("VIOLATED: {what}"));
        self.violations.borrow_mut().push(what);
    }

    pub(super) fn is_violated(&self) -> bool {
        !self.violations.borrow().is_empty()
    }

    /// Takes down that something happened.
    pub(super) fn event(&self, what: impl Display) {
        let at = self.started.elapsed().as_secs_f64();
        self.events.borrow_mut().push(format!("{at:9.3} s  {what}"));
    }

    pub(super) fn count(&self, what: &str) {
        *self.tally.borrow_mut().entry(what.to_owned()).or_default() += 1;
    }

    pub(super) fn shown(&self) -> Shown {
        Shown {
            violations: self.violations.take(),
            events: self.events.take(),
            tally: self.tally.take(),
        }
    }
}

/// Runs `work` beside everything else, on this thread.
pub(super) fn spawn(work: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
    tokio::spawn(SendWrapper::new(work))
}

//! The state that all parts of a simulation share: its random numbers, and what was observed.

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

/// How often the machine sleeps at most, and the longest sleep.
pub(super) const SLEEPS: u32 = 2;
pub(super) const LONGEST_SLEEP_MS: u64 = 12_000;
/// The longest time asleep in all.
pub(super) const ASLEEP: Duration = Duration::from_millis(SLEEPS as u64 * LONGEST_SLEEP_MS);

/// A request that a replica has read completely and is processing.
struct Begun {
    at: Instant,
    link: Arc<Link>,
}

/// See the module.
pub(super) struct World {
    dice: RefCell<Rng>,
    /// The probability of faults, as a share of the worst case; 0: none.
    pub trouble: f64,
    started: Instant,
    /// Whether faults have ended.
    pub is_healed: Cell<bool>,
    next_id: Cell<u64>,
    begun: RefCell<BTreeMap<u64, Begun>>,
    /// Violated invariants.
    violations: RefCell<Vec<String>>,
    /// All events, in order.
    events: RefCell<Vec<String>>,
    /// How often each result of a request occurred.
    tally: RefCell<BTreeMap<String, u64>>,
}

/// The results of one simulation.
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

    /// Whether this simulation is without faults.
    pub(super) fn is_calm(&self) -> bool {
        self.trouble == 0.0
    }

    /// Whether an event happens that is not a fault.
    pub(super) fn chance(&self, probability: f64) -> bool {
        self.dice.borrow_mut().f64() < probability
    }

    /// Whether a fault happens that has this probability in the worst case.
    pub(super) fn goes_wrong(&self, probability: f64) -> bool {
        !self.is_healed.get() && self.chance(probability * self.trouble)
    }

    pub(super) fn number(&self, range: RangeInclusive<u64>) -> u64 {
        self.dice.borrow_mut().u64(range)
    }

    pub(super) fn milliseconds(&self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }

    /// A size: mostly small, and sometimes up to `most`.
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

    /// The faults of a new connection.
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

    /// A replica has read the complete request `id`, and begins to process it. `once`: it must not
    /// be processed twice.
    ///
    /// One exception is documented: the connection ends within 5 ms of the request, because the
    /// replica was closing it.
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

    /// Records a violation.
    pub(super) fn violated(&self, what: String) {
        self.event(format_args!("VIOLATED: {what}"));
        self.violations.borrow_mut().push(what);
    }

    pub(super) fn is_violated(&self) -> bool {
        !self.violations.borrow().is_empty()
    }

    /// Records an event.
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

/// Runs `work` concurrently, on this thread.
pub(super) fn spawn(work: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
    tokio::spawn(SendWrapper::new(work))
}

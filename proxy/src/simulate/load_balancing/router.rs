//! The contenders that choose a replica in the simulation: the live code, KubeAI's rule, and an
//! oracle that sees the caches.

use std::{str::FromStr, sync::Arc};

use rapidhash::v3::rapidhash_v3;
use tailback_config::{LoadBalancing, LoadFactor, PrefixAffinity};
use tailback_scaler::{clock::Nanos, replica::Replica};

use super::{cache::Cache, prompts::Prompt};
use crate::admission::balance::{Affinity, Balancer, LoadBound, mix};

/// A contender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contender {
    /// A strategy of the proxy. Its workers share their knowledge.
    Live(LoadBalancing),
    /// `prefix` with a separate table for each worker.
    PrefixPerWorker,
    /// KubeAI's `PrefixHash`: a consistent hash of the first block, with bounded loads.
    KubeAi,
    /// The rule of `prefix` with the caches' true contents in place of the table.
    Oracle,
    /// The replica with the earliest first token, given the caches and queues.
    Soonest,
}

/// The settings that contenders share.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The settings of the strategy `prefix`.
    pub prefix: PrefixAffinity,
    /// The number of the proxy's worker threads.
    pub workers: usize,
}

/// A replica as a router sees it.
#[derive(Debug)]
pub struct ReplicaView<'a> {
    pub cache: &'a Cache,
    /// The seconds from now to the first token, if it got the request.
    pub wait: f64,
}

/// A contender in operation.
#[derive(Debug)]
pub enum Router {
    Live(Vec<Balancer>),
    KubeAi(Ring, LoadFactor),
    Oracle(LoadFactor),
    Soonest,
}

impl Contender {
    /// All contenders, as in the table.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let live = LoadBalancing::all().into_iter();
        let live = live.filter(|strategy| !matches!(strategy, LoadBalancing::Session(_)));
        live.map(Self::Live)
            .chain([
                Self::PrefixPerWorker,
                Self::KubeAi,
                Self::Oracle,
                Self::Soonest,
            ])
            .collect()
    }

    /// The name in the table and on the command line.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Live(strategy) => strategy.as_str(),
            Self::PrefixPerWorker => "prefix-per-worker",
            Self::KubeAi => "kubeai",
            Self::Oracle => "oracle",
            Self::Soonest => "soonest",
        }
    }

    /// Makes the router for `replicas` replicas.
    #[must_use]
    pub fn router(&self, rules: &Rules, replicas: usize) -> Router {
        match self {
            Self::Live(strategy) => {
                let strategy = match strategy {
                    LoadBalancing::Prefix(_) => LoadBalancing::Prefix(rules.prefix.clone()),
                    other => other.clone(),
                };
                Router::Live(vec![Balancer::new(&strategy, None)])
            }
            Self::PrefixPerWorker => {
                let mut prefix = rules.prefix.clone();
                prefix.table_size /= rules.workers;
                let strategy = LoadBalancing::Prefix(prefix);
                let own = |_| Balancer::new(&strategy, None);
                Router::Live((0..rules.workers).map(own).collect())
            }
            Self::KubeAi => Router::KubeAi(Ring::new(replicas), rules.prefix.load_factor),
            Self::Oracle => Router::Oracle(rules.prefix.load_factor),
            Self::Soonest => Router::Soonest,
        }
    }
}

impl FromStr for Contender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = Self::all();
        let names: Vec<_> = all.iter().map(Self::name).collect();
        let known = names.join(", ");
        let found = all.into_iter().find(|contender| contender.name() == text);
        found.ok_or_else(|| format!("found {text:?}, expected one of {known}"))
    }
}

impl Router {
    /// Takes a permit of a replica for `prompt`; `None` if none has room.
    pub fn take(
        &mut self,
        prompt: &Prompt,
        replicas: &[Arc<Replica>],
        seen: &[ReplicaView<'_>],
        now: Nanos,
        random: &mut fastrand::Rng,
    ) -> Option<usize> {
        match self {
            Self::Live(workers) => {
                let worker = &workers[random.usize(..workers.len())];
                // Ids are small numbers, so they are hashed to be spread as evenly as hashes of
                // text.
                let spread = |id: &u64| mix(*id, rapidhash_v3(&id.to_le_bytes()));
                let blocks: Vec<u64> = prompt.hash_ids.iter().map(spread).collect();
                let taken = worker.take(replicas, Affinity::Prefix(&blocks), now)?;
                Some(taken.position)
            }
            Self::KubeAi(ring, factor) => {
                let first = prompt.hash_ids.first().copied().unwrap_or_default();
                let order = ring.from(first);
                let total: u32 = replicas.iter().map(|r| r.in_flight()).sum();
                let threshold = f64::from(total + 1) / replicas.len() as f64
                    * f64::from(factor.percent())
                    / 100.0;
                let fits = |&&i: &&usize| {
                    total == 0 || f64::from(replicas[i].in_flight() + 1) <= threshold
                };
                let chosen = *order.iter().find(fits).or(order.first())?;
                replicas[chosen].try_take().then_some(chosen)
            }
            Self::Oracle(factor) => {
                let bound = LoadBound::of(replicas, *factor, now);
                let known = |i: usize| seen[i].cache.known(&prompt.hash_ids);
                let within = (0..replicas.len())
                    .filter(|&i| bound.admits(replicas[i].in_flight(), replicas[i].weight()))
                    .map(|i| (known(i), i))
                    .max_by_key(|&(known, i)| (known, std::cmp::Reverse(replicas[i].in_flight())));
                let (_, chosen) = within?;
                replicas[chosen].try_take().then_some(chosen)
            }
            Self::Soonest => {
                let soonest =
                    (0..replicas.len()).min_by(|&a, &b| seen[a].wait.total_cmp(&seen[b].wait))?;
                replicas[soonest].try_take().then_some(soonest)
            }
        }
    }
}

/// A consistent hash ring with 256 points for each replica, KubeAI's default.
#[derive(Debug)]
pub struct Ring(Vec<(u64, usize)>);

impl Ring {
    const POINTS: usize = 256;

    fn new(replicas: usize) -> Self {
        let points = |replica: usize| {
            (0..Self::POINTS).map(move |point| (mix(replica as u64, point as u64), replica))
        };
        let mut ring: Vec<_> = (0..replicas).flat_map(points).collect();
        ring.sort_unstable();
        Self(ring)
    }

    /// The replicas in the order of the ring, beginning at a key.
    fn from(&self, key: u64) -> Vec<usize> {
        let hash = rapidhash_v3(&key.to_le_bytes());
        let start = self.0.partition_point(|&(point, _)| point < hash);
        let mut order = Vec::new();
        for &(_, replica) in self.0[start..].iter().chain(&self.0[..start]) {
            if !order.contains(&replica) {
                order.push(replica);
            }
        }
        order
    }
}

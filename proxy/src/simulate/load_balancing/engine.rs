//! The simulation: replicas compute prompts one after the other, except the parts in their cache,
//! and generate answers at the same time.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use tailback_scaler::{clock::Nanos, replica::Replica};

use super::{
    cache::Cache,
    prompts::{BLOCK_TOKENS, Prompt},
    router::{Contender, ReplicaView, Rules},
};

/// The properties of the replicas.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// The number of replicas.
    pub replicas: usize,
    /// The largest number of tokens in the cache of each.
    pub cache_tokens: u64,
    /// Prompt tokens that each computes per second.
    pub prefill_rate: f64,
    /// Seconds for each token of an answer.
    pub decode_seconds: f64,
    /// The number of requests in the time of one request of the trace.
    pub rate: f64,
    /// Seed of all random numbers.
    pub seed: u64,
}

/// The results of a contender.
#[derive(Clone, Debug)]
pub struct RoutingResult {
    /// Its name.
    pub name: &'static str,
    /// The share of prompt tokens that were in the chosen replica's cache.
    pub cached_share: f64,
    /// Seconds until the first token, sorted.
    pub first_token: Vec<f64>,
    /// The largest number of tokens computed by a replica, as a multiple of the mean.
    pub imbalance: f64,
}

struct Server {
    replica: Arc<Replica>,
    cache: Cache,
    /// When it has computed all prompts that it was given, in seconds.
    free_at: f64,
    computed: u64,
}

/// Runs a contender on the prompts, which are in the order of their time.
#[must_use]
pub fn run(
    prompts: &[Prompt],
    contender: &Contender,
    rules: &Rules,
    conditions: &Conditions,
) -> RoutingResult {
    fastrand::seed(conditions.seed);
    let mut random = fastrand::Rng::with_seed(conditions.seed);
    let blocks = (conditions.cache_tokens / BLOCK_TOKENS) as usize;
    let mut servers: Vec<Server> = (0..conditions.replicas)
        .map(|i| Server {
            replica: Arc::new(Replica::new(
                format!("r-{i}"),
                format!("10.0.0.{i}:80"),
                None,
            )),
            cache: Cache::new(blocks),
            free_at: 0.0,
            computed: 0,
        })
        .collect();
    let replicas: Vec<_> = servers.iter().map(|s| s.replica.clone()).collect();
    let mut router = contender.router(rules, conditions.replicas);
    // When each request ends, in nanoseconds, and at which replica.
    let mut ends: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let (mut input, mut cached) = (0, 0);
    let mut first_token = Vec::with_capacity(prompts.len());
    let start = prompts.first().map_or(0, |prompt| prompt.timestamp);
    for prompt in prompts {
        let at = (prompt.timestamp - start) as f64 / 1e3 / conditions.rate;
        let now = nanos(at);
        while let Some(&Reverse((end, replica))) = ends.peek()
            && end <= now.0
        {
            ends.pop();
            replicas[replica].release();
        }
        let to_compute = |server: &Server| {
            let known = server.cache.known(&prompt.hash_ids) as u64 * BLOCK_TOKENS;
            // The last prompt token is always computed, because it yields the first token of the
            // answer.
            prompt.input_length - known.min(prompt.input_length.saturating_sub(1))
        };
        let seen: Vec<_> = servers
            .iter()
            .map(|server| ReplicaView {
                cache: &server.cache,
                wait: (server.free_at - at).max(0.0)
                    + to_compute(server) as f64 / conditions.prefill_rate,
            })
            .collect();
        let Some(chosen) = router.take(prompt, &replicas, &seen, now, &mut random) else {
            continue;
        };
        let wait = seen[chosen].wait;
        let server = &mut servers[chosen];
        let computed = to_compute(server);
        server.computed += computed;
        server.cache.insert(&prompt.hash_ids);
        server.free_at = at + wait;
        input += prompt.input_length;
        cached += prompt.input_length - computed;
        first_token.push(wait);
        let end = server.free_at + prompt.output_length as f64 * conditions.decode_seconds;
        let end = nanos(end);
        ends.push(Reverse((end.0, chosen)));
    }
    first_token.sort_unstable_by(f64::total_cmp);
    let most = servers.iter().map(|s| s.computed).max().unwrap_or(0);
    let total: u64 = servers.iter().map(|s| s.computed).sum();
    RoutingResult {
        name: contender.name(),
        cached_share: cached as f64 / (input as f64).max(1.0),
        first_token,
        imbalance: most as f64 * conditions.replicas as f64 / (total as f64).max(1.0),
    }
}

/// Nanoseconds; the largest value for later times.
fn nanos(seconds: f64) -> Nanos {
    Nanos((seconds * 1e9) as u64)
}

impl RoutingResult {
    /// Mean seconds until the first token.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.first_token.iter().sum::<f64>() / (self.first_token.len() as f64).max(1.0)
    }

    /// The number of seconds that this share of the requests does not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        let last = self.first_token.len().saturating_sub(1);
        let at = (share * last as f64).round() as usize;
        self.first_token.get(at).copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tailback_config::{LoadBalancing, PrefixAffinity};

    fn prompt(timestamp: u64, hash_ids: &[u64]) -> Prompt {
        Prompt {
            timestamp,
            input_length: hash_ids.len() as u64 * BLOCK_TOKENS,
            output_length: 1000,
            hash_ids: hash_ids.to_vec(),
        }
    }

    fn simulated(contender: &Contender, prompts: &[Prompt]) -> RoutingResult {
        let rules = Rules {
            prefix: PrefixAffinity::default(),
            workers: 4,
        };
        let conditions = Conditions {
            replicas: 2,
            cache_tokens: 100 * BLOCK_TOKENS,
            prefill_rate: BLOCK_TOKENS as f64,
            decode_seconds: 0.01,
            rate: 1.0,
            seed: 1,
        };
        run(prompts, contender, &rules, &conditions)
    }

    #[test]
    fn a_replica_computes_what_it_has_not_cached_and_one_prompt_after_the_other() {
        let prompts = [
            prompt(0, &[1, 2, 3, 4]),
            // It waits until 4 s, and has two blocks to compute.
            prompt(1000, &[1, 2, 5, 6]),
            // The replica is idle, and the last token is always computed.
            prompt(60_000, &[1, 2, 5, 6]),
        ];
        let prefix = Contender::Live(LoadBalancing::Prefix(PrefixAffinity::default()));
        for contender in [prefix, Contender::Oracle] {
            let outcome = simulated(&contender, &prompts);
            let expected = [1.0 / BLOCK_TOKENS as f64, 4.0, 3.0 + 2.0];
            for (found, expected) in outcome.first_token.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-9, "{outcome:?}");
            }
            let cached = (6 * BLOCK_TOKENS - 1) as f64 / (12 * BLOCK_TOKENS) as f64;
            assert!((outcome.cached_share - cached).abs() < 1e-9, "{outcome:?}");
        }
        // It goes to an idle replica, although that must compute the whole prompt.
        let outcome = simulated(&Contender::Live(LoadBalancing::LeastRequest), &prompts[..2]);
        assert_eq!((outcome.cached_share, outcome.quantile(1.0)), (0.0, 4.0));
    }

    #[test]
    fn any_prompts_and_speeds_are_simulated_without_harm() {
        let mut prompts = vec![prompt(0, &[]), prompt(u64::MAX, &[1, 1, 1])];
        prompts[1].input_length = 0;
        prompts[1].output_length = u64::MAX;
        for contender in Contender::all() {
            let outcome = simulated(&contender, &prompts);
            assert_eq!(outcome.first_token.len(), 2, "{outcome:?}");
        }
    }
}

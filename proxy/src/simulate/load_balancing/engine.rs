//! The simulation: replicas that compute prompts one after the other, as far as they are not in
//! their cache, and generate answers beside that.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc, time::Duration};

use tailback_scaler::{clock::Nanos, replica::Replica};

use super::{
    cache::Cache,
    prompts::{BLOCK_TOKENS, Prompt},
    router::{Contender, Rules, Seen},
};

/// What the replicas are like.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// How many there are.
    pub replicas: usize,
    /// Tokens that each has in its cache at most.
    pub cache_tokens: u64,
    /// Tokens of prompts that each computes in a second.
    pub prefill_rate: f64,
    /// Seconds for each token of an answer.
    pub decode_seconds: f64,
    /// Requests in the time of one of the trace.
    pub rate: f64,
    /// Seed of all random numbers.
    pub seed: u64,
}

/// What came of a contender.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its name.
    pub name: &'static str,
    /// Tokens of prompts that were in the cache of the chosen replica, of all.
    pub cached_share: f64,
    /// Seconds until the first token, sorted.
    pub first_token: Vec<f64>,
    /// The most tokens that a replica had to compute, as a multiple of the mean.
    pub imbalance: f64,
}

struct Server {
    replica: Arc<Replica>,
    cache: Cache,
    /// When it has computed all prompts that it has got, in seconds.
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
) -> Outcome {
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
    // Nanoseconds when each request ends, and where.
    let mut ends: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let (mut input, mut cached) = (0, 0);
    let mut first_token = Vec::with_capacity(prompts.len());
    let start = prompts.first().map_or(0, |prompt| prompt.timestamp);
    for prompt in prompts {
        let at = (prompt.timestamp - start) as f64 / 1e3 / conditions.rate;
        let now = Nanos::from_duration(Duration::from_secs_f64(at));
        while let Some(&Reverse((end, replica))) = ends.peek()
            && end <= now.0
        {
            ends.pop();
            replicas[replica].release();
        }
        let to_compute = |server: &Server| {
            let known = server.cache.known(&prompt.hash_ids) as u64 * BLOCK_TOKENS;
            // The last token is computed in any case: the first of the answer comes of it.
            prompt.input_length - known.min(prompt.input_length.saturating_sub(1))
        };
        let seen: Vec<_> = servers
            .iter()
            .map(|server| Seen {
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
        let end = Nanos::from_duration(Duration::from_secs_f64(end));
        ends.push(Reverse((end.0, chosen)));
    }
    first_token.sort_unstable_by(f64::total_cmp);
    let most = servers.iter().map(|s| s.computed).max().unwrap_or(0);
    let total: u64 = servers.iter().map(|s| s.computed).sum();
    Outcome {
        name: contender.name(),
        cached_share: cached as f64 / (input as f64).max(1.0),
        first_token,
        imbalance: most as f64 * conditions.replicas as f64 / (total as f64).max(1.0),
    }
}

impl Outcome {
    /// Mean seconds until the first token.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.first_token.iter().sum::<f64>() / (self.first_token.len() as f64).max(1.0)
    }

    /// Seconds that this share of the requests do not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        let last = self.first_token.len().saturating_sub(1);
        let at = (share * last as f64).round() as usize;
        self.first_token.get(at).copied().unwrap_or(0.0)
    }
}

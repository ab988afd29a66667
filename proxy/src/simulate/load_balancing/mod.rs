//! `tailback simulate load-balancing`: strategies on prompts with prefixes in common, with a model
//! of the replicas' prefix caches.

mod cache;
mod chats;
mod engine;
mod prompts;
mod report;
mod router;

use std::path::PathBuf;

use clap::{Args, value_parser};
use tailback_config::{LoadFactor, PrefixAffinity};

pub use self::report::CacheReport;
use self::{
    chats::Chats,
    engine::Conditions,
    prompts::{BLOCK_TOKENS, Prompt},
    router::{Contender, Rules},
};
use super::{input, number};

/// The largest `tableSize`, in blocks.
const MOST_BLOCKS: u64 = 1 << 24;
/// The mean number of synthetic chats that begin per second.
const CHATS_PER_SECOND: f64 = 1.6;

/// The options of `tailback simulate load-balancing`.
#[derive(Debug, Args)]
pub struct CacheSimulation {
    /// Recorded prompts, or - for standard input; compressed by gzip or not
    ///
    /// JSON lines with timestamp (milliseconds), input_length and output_length
    /// (tokens), and hash_ids: a number for each 512 tokens of the prompt,
    /// equal numbers standing for prompts that are equal up to there. So are
    /// the traces of kvcache-ai/Mooncake.
    #[arg(required_unless_present = "chats")]
    prompts: Option<PathBuf>,
    /// Make up so many chats, of applications with system prompts, instead of reading a trace
    #[arg(long, value_name = "N", conflicts_with = "prompts", value_parser = value_parser!(u32).range(1..=100_000))]
    chats: Option<u32>,
    /// Strategies to compare [default: all]
    ///
    /// powerOfTwo, leastRequest, roundRobin and prefix are the code that runs
    /// live. prefix-per-worker has a table for each worker; kubeai is KubeAI's
    /// PrefixHash; oracle is the rule of prefix with the caches as they are in
    /// the place of its table; soonest also knows each replica's queue.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    strategy: Vec<Contender>,
    /// Replicas
    #[arg(long, value_name = "N", default_value = "8", value_parser = value_parser!(u32).range(1..=10_000))]
    replicas: u32,
    /// Tokens that a replica's cache has room for
    #[arg(long, value_name = "N", default_value = "500000", value_parser = value_parser!(u64).range(BLOCK_TOKENS..=1_000_000_000))]
    cache_tokens: u64,
    /// Tokens of prompts that a replica computes in a second
    #[arg(long, value_name = "N", default_value = "8000", value_parser = number(1.0, 1e9))]
    prefill_rate: f64,
    /// Seconds for each token of an answer
    #[arg(long, value_name = "SECONDS", default_value = "0.02", value_parser = number(0.0, 100.0))]
    decode: f64,
    /// Let the requests come so many times as fast
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = number(0.001, 1000.0))]
    rate: f64,
    /// loadFactor of prefix, kubeai and oracle
    #[arg(long, value_name = "FACTOR", default_value = "1.25", value_parser = number(1.0, 100.0))]
    load_factor: f64,
    /// tableSize of prefix, in blocks of 512 tokens [default: what the caches hold together]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(8..=16_777_216))]
    table_size: Option<u32>,
    /// Worker threads, each with a part of the table in prefix-per-worker
    #[arg(long, value_name = "N", default_value = "4", value_parser = value_parser!(u32).range(1..=1024))]
    workers: u32,
    /// Seed of all random numbers: the same seed gives the same result
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
}

/// Runs the simulation.
///
/// # Errors
/// A sentence that says what is wrong with the trace, and where.
pub fn simulate(simulation: &CacheSimulation) -> Result<CacheReport, String> {
    let (source, prompts) = simulation.prompts()?;
    if prompts.is_empty() {
        return Err(format!("{source}: found no request, expected some"));
    }
    let rules = Rules {
        prefix: PrefixAffinity {
            load_factor: LoadFactor::from_percent((simulation.load_factor * 100.0).round() as u32),
            table_size: simulation.table_size(),
            ..PrefixAffinity::default()
        },
        workers: simulation.workers as usize,
    };
    let conditions = Conditions {
        replicas: simulation.replicas as usize,
        cache_tokens: simulation.cache_tokens,
        prefill_rate: simulation.prefill_rate,
        decode_seconds: simulation.decode,
        rate: simulation.rate,
        seed: simulation.seed,
    };
    let contenders = match simulation.strategy.is_empty() {
        true => Contender::all(),
        false => simulation.strategy.clone(),
    };
    let outcomes = contenders
        .iter()
        .map(|contender| engine::run(&prompts, contender, &rules, &conditions))
        .collect();
    Ok(CacheReport {
        source,
        outcomes,
        conditions,
        rules,
        requests: prompts.len(),
    })
}

impl CacheSimulation {
    /// The requested size, or as many blocks as all caches can hold.
    fn table_size(&self) -> usize {
        let caches = self.cache_tokens / BLOCK_TOKENS * u64::from(self.replicas);
        let size = self.table_size.map_or(caches.min(MOST_BLOCKS), u64::from);
        usize::try_from(size).unwrap_or(usize::MAX)
    }

    /// The prompts, and their name in the report.
    fn prompts(&self) -> Result<(String, Vec<Prompt>), String> {
        if let Some(count) = self.chats {
            let chats = Chats {
                count,
                per_second: CHATS_PER_SECOND,
                seed: self.seed,
            };
            return Ok((format!("{count} chats"), chats.prompts()));
        }
        let Some(path) = &self.prompts else {
            return Err("PROMPTS: found none, expected a file".to_owned());
        };
        let (name, input) = input(path)?;
        let prompts = prompts::read(input).map_err(|error| format!("{name}: {error}"))?;
        Ok((name, prompts))
    }
}

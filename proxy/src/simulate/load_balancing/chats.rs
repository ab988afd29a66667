//! Synthetic prompts: chats of several turns, in a few applications that have a system prompt
//! each.

use super::prompts::{BLOCK_TOKENS, Prompt};

/// The parameters of the chats.
#[derive(Clone, Copy, Debug)]
pub struct Chats {
    /// The number of chats.
    pub count: u32,
    /// The mean number of chats that begin per second.
    pub per_second: f64,
    /// Seed of all random numbers.
    pub seed: u64,
}

/// The number of applications, each with its own system prompt.
const APPLICATIONS: u64 = 6;

impl Chats {
    /// The requests in the order of their time. A turn's prompt consists of the previous turn's
    /// prompt, its answer, and some more. Lengths vary widely, as in public traces: most turns are
    /// short, and some are whole documents.
    #[must_use]
    pub fn prompts(&self) -> Vec<Prompt> {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let exponential = |random: &mut fastrand::Rng| -(1.0 - random.f64()).ln();
        // System prompts of 1,000 to 8,000 tokens; the first application has most of the chats.
        let systems: Vec<u64> = (0..APPLICATIONS)
            .map(|_| random.u64(1_000..8_000))
            .collect();
        let mut next_block = 1_000_000;
        let mut prompts = Vec::new();
        let mut begin = 0.0;
        for _ in 0..self.count {
            begin += exponential(&mut random) / self.per_second;
            let application = (random.f64().powi(2) * APPLICATIONS as f64) as usize;
            let system = systems[application];
            let mut blocks: Vec<u64> = (0..system / BLOCK_TOKENS)
                .map(|block| application as u64 * 1_000 + block)
                .collect();
            let turns = 1 + (exponential(&mut random) * 4.0) as u32;
            let (mut tokens, mut at) = (system, begin);
            for _ in 0..turns {
                let document = random.f64() < 0.1;
                tokens += match document {
                    true => (exponential(&mut random) * 6_000.0) as u64,
                    false => 20 + (exponential(&mut random) * 200.0) as u64,
                };
                let answer = 10 + (exponential(&mut random) * 250.0) as u64;
                while (blocks.len() as u64) < tokens / BLOCK_TOKENS {
                    blocks.push(next_block);
                    next_block += 1;
                }
                prompts.push(Prompt {
                    timestamp: (at * 1e3) as u64,
                    input_length: tokens,
                    output_length: answer,
                    hash_ids: blocks.clone(),
                });
                tokens += answer;
                // The user reads the answer and writes the next question.
                at += answer as f64 * 0.02 + 2.0 + exponential(&mut random) * 20.0;
            }
        }
        prompts.sort_by_key(|prompt| prompt.timestamp);
        prompts
    }
}

//! Assigns each thread a shard: the lowest number that no living thread has.

use std::sync::atomic::{AtomicU64, Ordering};

/// Largest number of threads with a number of their own: every worker (`TAILBACK_WORKERS`, up to
/// 1,024), and 64 more.
const MOST: usize = 1024 + 64;
const WORDS: usize = MOST / 64;

/// One bit for each number that is in use.
static TAKEN: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];

struct ClaimedNumber(Option<usize>);

thread_local! {
    static NUMBER: ClaimedNumber = ClaimedNumber::claim();
}

/// The calling thread's number, below [`MOST`]. No other thread has it while this one lives.
/// `None` if all numbers are taken, or if the thread is being torn down.
#[inline]
pub(super) fn of_this_thread() -> Option<usize> {
    NUMBER.try_with(|slot| slot.0).ok().flatten()
}

impl ClaimedNumber {
    fn claim() -> Self {
        let claimed = TAKEN
            .iter()
            .enumerate()
            .find_map(|(word, taken)| Some(word * 64 + claim_bit(taken)?));
        Self(claimed)
    }
}

/// Takes the lowest free bit.
fn claim_bit(word: &AtomicU64) -> Option<usize> {
    let mut taken = word.load(Ordering::Relaxed);
    loop {
        let free = (!taken).trailing_zeros();
        if free == 64 {
            return None;
        }
        // Acquire pairs with the release in `drop`: what the number's
        // former owner wrote to its shards is seen by the new one.
        match word.compare_exchange_weak(
            taken,
            taken | 1 << free,
            Ordering::Acquire,
            Ordering::Relaxed,
        ) {
            Ok(_) => return Some(free as usize),
            Err(now) => taken = now,
        }
    }
}

impl Drop for ClaimedNumber {
    fn drop(&mut self) {
        if let Some(number) = self.0 {
            TAKEN[number / 64].fetch_and(!(1 << (number % 64)), Ordering::Release);
        }
    }
}

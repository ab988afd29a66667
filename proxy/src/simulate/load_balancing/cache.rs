//! The prefix cache of a simulated replica. The least recently used blocks are evicted.

use std::collections::{BTreeMap, HashMap};

/// A bounded set of prompt blocks.
#[derive(Clone, Debug)]
pub struct Cache {
    limit: usize,
    /// The time of each block's last use.
    used: HashMap<u64, u64>,
    /// The blocks by the time of their last use.
    order: BTreeMap<u64, u64>,
    clock: u64,
}

impl Cache {
    /// A cache with room for `limit` blocks.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            used: HashMap::new(),
            order: BTreeMap::new(),
            clock: 0,
        }
    }

    /// How many of these blocks, from the first on, are cached.
    #[must_use]
    pub fn known(&self, blocks: &[u64]) -> usize {
        let mut blocks = blocks.iter();
        blocks
            .by_ref()
            .take_while(|block| self.used.contains_key(block))
            .count()
    }

    /// Notes a use of all these blocks. The last of them are evicted first, because they are of no
    /// use without those before them.
    pub fn insert(&mut self, blocks: &[u64]) {
        for &block in blocks.iter().rev() {
            self.clock += 1;
            if let Some(before) = self.used.insert(block, self.clock) {
                self.order.remove(&before);
            }
            self.order.insert(self.clock, block);
        }
        while self.used.len() > self.limit {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            self.used.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_blocks_go_and_of_a_prompt_the_last_first() {
        let mut cache = Cache::new(4);
        cache.insert(&[1, 2, 3]);
        cache.insert(&[1, 7]);
        assert_eq!((cache.known(&[1, 2, 3]), cache.known(&[1, 7, 8])), (3, 2));
        cache.insert(&[9]);
        assert_eq!(cache.known(&[1, 2, 3]), 2, "3 has gone");
        cache.insert(&[10, 11, 12, 13, 14]);
        assert_eq!(cache.known(&[10, 11, 12, 13, 14]), 4);
        assert_eq!(cache.known(&[1]), 0);
    }
}

//! Prefix affinity: prefers the replica that has seen the longest beginning of the prompt, and so
//! has it in its cache, unless that replica's load exceeds the bound.

mod chain;
mod prefix_table;

use std::{borrow::Borrow, sync::Arc};

use smallvec::SmallVec;
use tailback_config::LoadFactor;
use tailback_scaler::{clock::Nanos, replica::Replica};

pub use self::{
    chain::chain,
    prefix_table::{BlockCounts, PrefixTable},
};
use super::{Affinity, LeastRequest, Strategy, Taken, bounded_load::LoadBound, load::load_of};
use crate::telemetry::metrics::Preference;

/// Of the replicas with the longest known prefix, the least busy one. If all of them exceed the
/// bound, those with the next shorter prefix are considered. If no prefix is known, the least busy
/// replica of all.
#[derive(Clone, Debug)]
pub struct Prefix {
    table: Arc<PrefixTable>,
    factor: LoadFactor,
}

impl Prefix {
    /// A strategy that uses `table`, which it shares with other workers.
    #[must_use]
    pub fn new(table: Arc<PrefixTable>, factor: LoadFactor) -> Self {
        Self { table, factor }
    }

    /// Notes that `replica` gets a request with these blocks, and so has them in its cache.
    pub(super) fn remember(&self, blocks: &[u64], replica: &Replica, now: Nanos) {
        for &block in blocks {
            self.table.insert(block, replica.id(), now);
        }
    }

    /// Takes a permit of a replica with the longest prefix among those within the bound.
    fn take_known<R: Borrow<Replica>>(
        &self,
        replicas: &[R],
        blocks: &[u64],
        now: Nanos,
    ) -> Option<Taken> {
        let of = |i: usize| replicas[i].borrow();
        let mut bound = None;
        // Replicas with a longer prefix that exceed the bound, are ejected, or are full.
        let mut refused: SmallVec<[usize; 16]> = SmallVec::new();
        for (depth, &block) in blocks.iter().enumerate().rev() {
            let holders = self.table.holders(block);
            if holders.is_empty() {
                continue;
            }
            let has_it = |i: usize| {
                let mut holders = holders.iter();
                holders.any(|&holder| prefix_table::is_same(holder, of(i).id()))
            };
            let mut known: SmallVec<[(u64, usize); 16]> = (0..replicas.len())
                .filter(|&i| has_it(i) && !refused.contains(&i))
                .map(|i| (load_of(of(i)), i))
                .collect();
            known.sort_unstable();
            for (_, i) in known {
                let bound = *bound.get_or_insert_with(|| LoadBound::of(replicas, self.factor, now));
                let is_within = bound.admits(of(i).in_flight(), of(i).weight());
                if is_within && !of(i).is_ejected(now) && of(i).try_take() {
                    let preference = match refused.is_empty() {
                        true => Preference::Met,
                        false => Preference::Spilled,
                    };
                    let known = depth + 1;
                    return Some(Taken {
                        position: i,
                        preference,
                        known,
                    });
                }
                refused.push(i);
            }
        }
        if refused.is_empty() {
            return None;
        }
        let position = LeastRequest.take(replicas, Affinity::None, now)?.position;
        Some(Taken {
            position,
            preference: Preference::Spilled,
            known: 0,
        })
    }
}

impl Strategy for Prefix {
    fn take<R: Borrow<Replica>>(
        &self,
        replicas: &[R],
        affinity: Affinity<'_>,
        now: Nanos,
    ) -> Option<Taken> {
        let blocks = match affinity {
            Affinity::Prefix(blocks) => blocks,
            Affinity::None | Affinity::Session(_) => &[],
        };
        self.take_known(replicas, blocks, now)
            .or_else(|| LeastRequest.take(replicas, affinity, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    // proptest's prelude has a `Strategy`, too.
    use proptest::prelude::{prop_assert, proptest};

    fn replicas(n: usize, concurrency: u32) -> Vec<Replica> {
        (0..n)
            .map(|i| Replica::new(format!("m-{i}"), "h:1", Some(concurrency)))
            .collect()
    }

    fn strategy() -> Prefix {
        Prefix::new(Arc::new(PrefixTable::new(4096)), LoadFactor::default())
    }

    /// The hashes of a prompt of one-letter blocks.
    fn blocks(text: &str) -> Vec<u64> {
        chain([text.as_bytes()], 1)
    }

    fn take(strategy: &Prefix, replicas: &[Replica], text: &str) -> Option<Taken> {
        let replicas: Vec<_> = replicas.iter().collect();
        strategy.take(&replicas, Affinity::Prefix(&blocks(text)), Nanos(0))
    }

    fn met(position: usize, known: usize) -> Option<Taken> {
        Some(Taken::preferred(position, known))
    }

    #[test]
    fn the_longest_known_prefix_wins_and_of_several_the_least_busy() {
        let (replicas, strategy) = (replicas(4, 9), strategy());
        strategy.remember(&blocks("abcd"), &replicas[1], Nanos(0));
        strategy.remember(&blocks("abxy"), &replicas[2], Nanos(0));
        assert_eq!(take(&strategy, &replicas, "abcde"), met(1, 4));
        assert_eq!(take(&strategy, &replicas, "abxyz"), met(2, 4));
        assert!(replicas[1].try_take());
        assert_eq!(take(&strategy, &replicas, "abq"), met(2, 2));
        assert_eq!(take(&strategy, &replicas, "zzz").unwrap().known, 0);
    }

    #[test]
    fn over_the_bound_the_next_longest_is_taken_and_then_the_least_busy() {
        let (replicas, strategy) = (replicas(5, 100), strategy());
        strategy.remember(&blocks("abcd"), &replicas[0], Nanos(0));
        strategy.remember(&blocks("ab"), &replicas[1], Nanos(0));
        for _ in 0..9 {
            assert!(replicas[0].try_take());
        }
        let spilled = |position, known| {
            Some(Taken {
                position,
                preference: Preference::Spilled,
                known,
            })
        };
        assert_eq!(take(&strategy, &replicas, "abcd"), spilled(1, 2));
        for _ in 0..9 {
            assert!(replicas[1].try_take());
        }
        let last = take(&strategy, &replicas, "abcd").unwrap();
        assert_eq!((last.preference, last.known), (Preference::Spilled, 0));
        assert!(last.position >= 2, "{last:?}");
    }

    #[test]
    fn replicas_that_are_ejected_or_full_are_passed_over() {
        let (replicas, strategy) = (replicas(3, 1), strategy());
        strategy.remember(&blocks("abc"), &replicas[0], Nanos(0));
        strategy.remember(&blocks("abc"), &replicas[1], Nanos(0));
        replicas[0].eject(Nanos(100));
        assert_eq!(take(&strategy, &replicas, "abc").unwrap().position, 1);
        assert_eq!(take(&strategy, &replicas, "abc").unwrap().position, 2);
        let last = take(&strategy, &replicas, "abc").unwrap();
        assert_eq!(last.position, 0, "there is no other");
        assert_eq!(take(&strategy, &replicas, "abc"), None);
    }

    #[test]
    fn a_replica_that_has_gone_is_forgotten_also_if_another_has_its_name() {
        let (mut replicas, strategy) = (replicas(2, 9), strategy());
        strategy.remember(&blocks("abc"), &replicas[0], Nanos(0));
        replicas[0] = Replica::new("m-0", "h:1", Some(9));
        let taken = take(&strategy, &replicas, "abc").unwrap();
        assert_eq!((taken.preference, taken.known), (Preference::None, 0));
    }

    proptest! {
        #[test]
        fn the_bound_is_never_exceeded_and_every_slot_is_used(
            prompts in proptest::collection::vec("[ab]{0,6}", 1..120),
            n in 2usize..6,
        ) {
            let (replicas, strategy) = (replicas(n, 20), strategy());
            let refs: Vec<_> = replicas.iter().collect();
            for text in prompts {
                let bound = LoadBound::of(&refs, LoadFactor::default(), Nanos(0));
                let taken = take(&strategy, &replicas, &text);
                let full = replicas.iter().all(|r| r.in_flight() == 20);
                let Some(taken) = taken else {
                    prop_assert!(full);
                    break;
                };
                let chosen = &replicas[taken.position];
                if taken.known > 0 {
                    prop_assert!(bound.admits(chosen.in_flight() - 1, chosen.weight()));
                }
                strategy.remember(&blocks(&text), chosen, Nanos(0));
            }
        }
    }
}

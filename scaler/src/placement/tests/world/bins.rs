//! Bins that come some time after they are asked for.

use super::{super::super::Bin, World};
use crate::placement::tests::fixtures::{SECOND, bin};

impl World {
    pub(super) fn bins_come(&mut self) {
        let now = self.now;
        for (index, pool) in self.fleet.pools.iter_mut().enumerate() {
            let asked = pool.scaling.as_ref().map_or(0, |scaling| scaling.asked);
            let inhabited = |bin: usize| {
                let mut here = self.replicas.iter().filter(|r| r.pool == index);
                here.any(|r| r.placed.bins.contains(&bin))
            };
            let bins = pool.bins.iter().enumerate();
            let there = bins
                .filter(|(bin, b)| !b.leaving || inhabited(*bin))
                .count();
            if there as u32 >= asked {
                self.coming[index] = None;
            } else {
                let coming = self.coming[index].get_or_insert(now + 3 * SECOND);
                if *coming <= now {
                    self.coming[index] = None;
                    let mut bins = 0..pool.bins.len();
                    let gone = |bin: &usize| {
                        let own = &pool.bins[*bin];
                        own.ordinal.is_some() && own.leaving && !inhabited(*bin)
                    };
                    match bins.find(gone) {
                        // The lowest number that is free.
                        Some(bin) => {
                            let bin = &mut pool.bins[bin];
                            (bin.leaving, bin.given_up) = (false, false);
                        }
                        None => {
                            let scaling = pool.scaling.as_ref();
                            let memory = scaling.and_then(|scaling| scaling.bin_memory);
                            let next = pool.bins.len();
                            let numbered = pool.bins.iter().any(|bin| bin.ordinal.is_some());
                            pool.bins.push(Bin {
                                ordinal: numbered.then_some(next as u32),
                                ..bin(next, memory.unwrap_or(1))
                            });
                        }
                    }
                }
            }
        }
    }
}

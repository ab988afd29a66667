//! Which replicas have seen which prefix: a bounded table that all workers share without a lock.
//!
//! It is a set-associative cache like a processor's: a hash selects a bucket of eight entries, one
//! cache line, and an entry is one word: a part of the hash, the replica, and the time of the last
//! use. A new entry replaces the bucket's oldest. Words are read and written as a whole, so two
//! workers that write at once may lose an entry but never see a broken one. A lost or wrong entry
//! costs one cache hit, as the table only estimates what is in the replicas' caches.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use smallvec::SmallVec;
use tailback_config::LoadBalancing;
use tailback_scaler::{clock::Nanos, replica::ReplicaId};

/// Entries per bucket: one cache line.
const WAYS: usize = 8;
/// Bits of an entry for the replica's number. Replicas whose numbers differ by a multiple of 2^20
/// (a million) are confused.
const ID_BITS: u32 = 20;
/// Bits of an entry for the time of its last use.
const STAMP_BITS: u32 = 18;
const ID_MASK: u64 = (1 << ID_BITS) - 1;
const STAMP_MASK: u64 = (1 << STAMP_BITS) - 1;
/// The length of one step of these stamps in nanoseconds, as a power of two: 0.13 s. Stamps wrap
/// after ten hours, so an entry that was not used for so long may look new.
const STEP: u32 = 27;
/// Most buckets that are read to count the blocks of each replica: an eighth of a table of the
/// default size.
const COUNTED: usize = 1 << 11;

/// The replicas that are known to have a prefix.
pub type Holders = SmallVec<[ReplicaId; WAYS]>;

/// The table of one model. For each prefix, it has at most the eight replicas that had it last.
#[derive(Debug)]
pub struct PrefixTable {
    /// Their number is a power of two.
    buckets: Box<[Bucket]>,
}

/// How many prompt blocks each replica is known to have.
#[derive(Clone, Debug, Default)]
pub struct BlockCounts {
    /// By the low [`ID_BITS`] of the replica's number.
    counts: HashMap<ReplicaId, u64>,
    /// The size of the table as a multiple of the counted part.
    times: u64,
}

impl BlockCounts {
    /// The count of this replica.
    #[must_use]
    pub fn of(&self, replica: ReplicaId) -> u64 {
        let short = ReplicaId(replica.0 & ID_MASK as u32);
        self.counts.get(&short).copied().unwrap_or(0) * self.times
    }
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket([AtomicU64; WAYS]);

impl PrefixTable {
    /// With room for at least `entries` entries of eight bytes: one for each prefix and replica
    /// that has it.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        let buckets = capacity(entries) / WAYS;
        Self {
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
        }
    }

    /// The table that the strategy needs, if it needs one; `before` if that has the right size.
    #[must_use]
    pub fn of(strategy: &LoadBalancing, before: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        let LoadBalancing::Prefix(prefix) = strategy else {
            return None;
        };
        let same = before.filter(|table| table.capacity() == capacity(prefix.table_size));
        Some(same.map_or_else(|| Arc::new(Self::new(prefix.table_size)), Arc::clone))
    }

    /// The replicas that had the prefix `hash`.
    #[must_use]
    pub fn holders(&self, hash: u64) -> Holders {
        let entries = &self.bucket(hash).0;
        let entries = entries.iter().map(|entry| entry.load(Ordering::Relaxed));
        entries
            .filter(|&entry| entry != 0 && tag(entry) == tag(hash))
            .map(id)
            .collect()
    }

    /// Notes that `replica` has the prefix `hash` at `now`. May replace another entry.
    pub fn insert(&self, hash: u64, replica: ReplicaId, now: Nanos) {
        let stamp = (now.0 >> STEP) & STAMP_MASK;
        let short_id = u64::from(replica.0) & ID_MASK;
        let new = (hash & !(ID_MASK << STAMP_BITS | STAMP_MASK)) | (short_id << STAMP_BITS) | stamp;
        let entries = &self.bucket(hash).0;
        let (mut oldest, mut most) = (0, 0);
        for (i, entry) in entries.iter().enumerate() {
            let old = entry.load(Ordering::Relaxed);
            if old != 0 && old >> STAMP_BITS == new >> STAMP_BITS {
                // Written only if something changes, because a write takes the cache line from
                // other workers.
                if old != new {
                    entry.store(new, Ordering::Relaxed);
                }
                return;
            }
            let age = match old {
                0 => STAMP_MASK + 1,
                _ => stamp.wrapping_sub(old) & STAMP_MASK,
            };
            if age > most {
                (oldest, most) = (i, age);
            }
        }
        if most == 0 {
            // All were used in the same step of time, so the hash selects one of them.
            oldest = (hash >> (ID_BITS + STAMP_BITS)) as usize % WAYS;
        }
        entries[oldest].store(new, Ordering::Relaxed);
    }

    /// How many blocks each replica is known to have. To take less than a millisecond, it counts a
    /// part of a large table and extrapolates: hashes spread the blocks evenly.
    #[must_use]
    pub fn block_counts(&self) -> BlockCounts {
        let counted = self.buckets.len().min(COUNTED);
        let mut counts = HashMap::new();
        for entry in self.buckets[..counted].iter().flat_map(|bucket| &bucket.0) {
            let entry = entry.load(Ordering::Relaxed);
            if entry != 0 {
                *counts.entry(id(entry)).or_default() += 1;
            }
        }
        BlockCounts {
            counts,
            // Both are powers of two.
            times: (self.buckets.len() / counted) as u64,
        }
    }

    /// The number of entries that the table has room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.buckets.len() * WAYS
    }

    /// The number of entries, counted one by one.
    #[must_use]
    pub fn len(&self) -> usize {
        let entries = self.buckets.iter().flat_map(|bucket| &bucket.0);
        entries.filter(|e| e.load(Ordering::Relaxed) != 0).count()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bucket of `hash`, selected by the low bits, which entries do not store.
    fn bucket(&self, hash: u64) -> &Bucket {
        &self.buckets[hash as usize & (self.buckets.len() - 1)]
    }
}

/// The size of a table for this many entries; its number of buckets is a power of two.
fn capacity(entries: usize) -> usize {
    entries.div_ceil(WAYS).next_power_of_two() * WAYS
}

/// The high bits of a hash, which an entry stores.
fn tag(word: u64) -> u64 {
    word >> (ID_BITS + STAMP_BITS)
}

/// The low [`ID_BITS`] of the number of the entry's replica.
fn id(entry: u64) -> ReplicaId {
    ReplicaId(((entry >> STAMP_BITS) & ID_MASK) as u32)
}

/// Whether a holder from the table is this replica.
#[must_use]
pub fn is_same(holder: ReplicaId, replica: ReplicaId) -> bool {
    u64::from(holder.0) == u64::from(replica.0) & ID_MASK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::balance::mix;
    use proptest::prelude::*;

    const A: ReplicaId = ReplicaId(1);
    const B: ReplicaId = ReplicaId(2);

    /// Hashes that select the same bucket.
    fn hash(n: u64) -> u64 {
        n << (ID_BITS + STAMP_BITS)
    }

    fn step(n: u64) -> Nanos {
        Nanos(n << STEP)
    }

    #[test]
    fn a_prefix_may_be_at_several_replicas() {
        let table = PrefixTable::new(64);
        table.insert(hash(1), A, step(0));
        table.insert(hash(1), B, step(1));
        table.insert(hash(2), B, step(1));
        table.insert(hash(1), A, step(2));
        assert_eq!(table.holders(hash(1)).as_slice(), [A, B]);
        assert_eq!(table.holders(hash(2)).as_slice(), [B]);
        assert!(table.holders(hash(3)).is_empty());
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let table = PrefixTable::new(WAYS);
        for n in 1..=8 {
            table.insert(hash(n), A, step(n));
        }
        table.insert(hash(1), A, step(9));
        table.insert(hash(9), A, step(10));
        assert!(table.holders(hash(2)).is_empty(), "used at 2");
        assert_eq!(table.holders(hash(1)).as_slice(), [A], "used at 9");
        assert_eq!(table.len(), WAYS);
    }

    #[test]
    fn stamps_that_wrap_do_not_make_the_newest_the_oldest() {
        let table = PrefixTable::new(WAYS);
        let wrap = 1 << STAMP_BITS;
        for n in 1..=8 {
            table.insert(hash(n), A, step(wrap - 4 + n));
        }
        table.insert(hash(9), A, step(wrap + 5));
        assert!(table.holders(hash(1)).is_empty());
        assert_eq!(table.holders(hash(8)).as_slice(), [A]);
    }

    #[test]
    fn the_blocks_of_each_replica_are_counted() {
        let table = PrefixTable::new(1 << 14);
        let second_round = ReplicaId(B.0 + (1 << ID_BITS));
        for n in 1..=300 {
            let replica = if n <= 200 { A } else { second_round };
            table.insert(mix(n, 1), replica, step(0));
        }
        let counts = table.block_counts();
        let known = [A, second_round, ReplicaId(3)].map(|replica| counts.of(replica));
        assert_eq!(known, [200, 100, 0]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "it takes Miri a quarter of an hour")]
    fn of_a_large_table_the_blocks_are_estimated() {
        let table = PrefixTable::new(1 << 20);
        for n in 0..200_000 {
            table.insert(mix(n, 1), A, step(0));
        }
        let known = table.block_counts().of(A);
        assert!((190_000..=210_000).contains(&known), "{known}");
    }

    #[test]
    fn a_reload_keeps_a_table_of_the_same_size_alone() {
        use tailback_config::PrefixAffinity;
        let strategy = |table_size| {
            let default = PrefixAffinity::default();
            LoadBalancing::Prefix(PrefixAffinity {
                table_size,
                ..default
            })
        };
        let table = PrefixTable::of(&strategy(1024), None).unwrap();
        let same = PrefixTable::of(&strategy(1024), Some(&table)).unwrap();
        assert!(Arc::ptr_eq(&table, &same));
        let larger = PrefixTable::of(&strategy(4096), Some(&table)).unwrap();
        assert_eq!(larger.capacity(), 4096);
        assert!(PrefixTable::of(&LoadBalancing::PowerOfTwo, Some(&table)).is_none());
    }

    #[test]
    fn workers_that_write_at_once_leave_nothing_broken() {
        const EACH: u64 = if cfg!(miri) { 100 } else { 20_000 };
        let table = PrefixTable::new(if cfg!(miri) { 32 } else { 1024 });
        std::thread::scope(|scope| {
            for replica in 1..=4 {
                let table = &table;
                scope.spawn(move || {
                    for n in 0..EACH {
                        table.insert(mix(n, 1), ReplicaId(replica), step(n / 100));
                        for holder in table.holders(mix(n, 1)) {
                            assert!((1..=4).contains(&holder.0), "{holder:?}");
                        }
                    }
                });
            }
        });
        assert!(table.len() <= table.capacity());
    }

    proptest! {
        #[test]
        fn the_table_never_grows_beyond_its_size(
            inserts in proptest::collection::vec((any::<u64>(), 1u32..9, 0u64..1000), 0..3000),
        ) {
            let table = PrefixTable::new(1000);
            prop_assert_eq!(table.capacity(), 1024);
            for (hash, replica, at) in inserts {
                table.insert(hash, ReplicaId(replica), step(at));
                prop_assert!(table.holders(hash).contains(&ReplicaId(replica)));
            }
            prop_assert!(table.len() <= 1024);
        }
    }
}

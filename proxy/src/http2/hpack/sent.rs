//! The fields that are in the peer's dynamic table.

use std::fmt;

use super::{
    dynamic_table::{DynamicTable, OVERHEAD},
    policy, static_table,
};

/// The number of chains of entries, and that of hashes that are remembered. A power of two.
const SLOTS: usize = 64;

/// The encoder's side of the dynamic table. Finds an entry by its name and value.
///
/// Entries have numbers: the first one that was ever sent has 1. Those whose names have the same hash,
/// as far as there are slots, form a chain from the newest one on. Old entries go first, so a chain
/// ends at the first number whose entry is gone, and nothing need be removed from it.
pub(super) struct Sent {
    table: DynamicTable<Line>,
    /// The number of the newest entry.
    newest: u32,
    slots: Option<Box<Slots>>,
}

struct Slots {
    /// For each chain the number of its newest entry.
    chains: [u32; SLOTS],
    /// Hashes of fields that were not indexed.
    passed: [u32; SLOTS],
}

struct Line {
    /// The hash of the name.
    hash: u32,
    /// The number of the next older entry of the chain.
    next: u32,
    name_length: u32,
    /// The name, then the value.
    text: Box<[u8]>,
}

/// Where a field is. Indexes are those of both tables together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Indexed {
    Field(usize),
    /// The name alone.
    Name(usize),
    Nothing,
}

impl Sent {
    pub(super) const fn new() -> Self {
        Self {
            table: DynamicTable::new(),
            newest: 0,
            slots: None,
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.table.limit()
    }

    pub(super) fn resize(&mut self, limit: usize) {
        self.table.resize(limit);
    }

    /// Looks for a field. `hash` is that of its name.
    #[inline]
    pub(super) fn find(&self, hash: u32, name: &[u8], value: &[u8]) -> Indexed {
        let mut found = Indexed::Nothing;
        let Some(slots) = &self.slots else {
            return found;
        };
        let mut number = slots.chains[hash as usize % SLOTS];
        let mut older_than = None;
        loop {
            let age = self.newest.wrapping_sub(number);
            // Once numbers begin anew, a chain may lead anywhere.
            if older_than >= Some(age) {
                return found;
            }
            older_than = Some(age);
            let Some((line, _)) = self.table.get(age as usize) else {
                return found;
            };
            if line.hash == hash
                && let Some((its_name, its_value)) =
                    line.text.split_at_checked(line.name_length as usize)
                && its_name == name
            {
                let index = static_table::LENGTH + 1 + age as usize;
                if its_value == value {
                    return Indexed::Field(index);
                }
                if found == Indexed::Nothing {
                    found = Indexed::Name(index);
                }
            }
            number = line.next;
        }
    }

    /// Adds a field that is sent with incremental indexing. `hash` is that of its name.
    pub(super) fn insert(&mut self, hash: u32, name: &[u8], value: &[u8]) {
        self.newest = self.newest.wrapping_add(1);
        let slots = self.slots.get_or_insert_with(Slots::new);
        let chain = &mut slots.chains[hash as usize % SLOTS];
        let line = Line {
            hash,
            next: std::mem::replace(chain, self.newest),
            name_length: name.len() as u32,
            text: [name, value].concat().into(),
        };
        self.table.insert(line.text.len() + OVERHEAD, line);
    }

    /// Whether a field was passed to this function before, not too long ago. `hash` is that of its
    /// name.
    pub(super) fn has_passed(&mut self, hash: u32, value: &[u8]) -> bool {
        let field = policy::hash(value) ^ hash.rotate_left(16);
        let slots = self.slots.get_or_insert_with(Slots::new);
        let passed = &mut slots.passed[field as usize % SLOTS];
        std::mem::replace(passed, field) == field
    }
}

impl Slots {
    fn new() -> Box<Self> {
        Box::new(Self {
            chains: [0; SLOTS],
            passed: [0; SLOTS],
        })
    }
}

/// Without the entries: they may hold what only both peers should know.
impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent").field("table", &self.table).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_chain_are_found_until_they_are_evicted() {
        // Numbers begin anew in between.
        for newest in [0, u32::MAX - 60] {
            let mut sent = Sent::new();
            sent.newest = newest;
            sent.resize(50 * (OVERHEAD + 4));
            let values: Vec<String> = (100..300).map(|value| value.to_string()).collect();
            let hash = 7;
            for (nth, value) in values.iter().enumerate() {
                // All names have the same hash here.
                let name: &[u8] = if nth % 2 == 0 { b"a" } else { b"b" };
                sent.insert(hash, name, value.as_bytes());
                let index = |age: usize| Indexed::Field(static_table::LENGTH + 1 + age);
                assert_eq!(sent.find(hash, name, value.as_bytes()), index(0));
                if let Some(before) = nth.checked_sub(40) {
                    let before = values[before].as_bytes();
                    assert_eq!(sent.find(hash, name, before), index(40));
                    assert_eq!(sent.find(hash, b"c", before), Indexed::Nothing);
                }
                if let Some(gone) = nth.checked_sub(52) {
                    let found = sent.find(hash, name, values[gone].as_bytes());
                    assert_eq!(found, Indexed::Name(static_table::LENGTH + 1));
                }
            }
        }
    }

    #[test]
    fn a_field_has_passed_if_it_was_there_lately() {
        let mut sent = Sent::new();
        let [first, second] = [b"x-first", b"another"].map(|name| policy::hash(name));
        assert!(!sent.has_passed(first, b"a"));
        assert!(!sent.has_passed(second, b"a"));
        assert!(sent.has_passed(first, b"a"));
        for nth in 0..1000 {
            sent.has_passed(first, format!("value {nth}").as_bytes());
        }
        assert!(!sent.has_passed(first, b"a"));
    }
}

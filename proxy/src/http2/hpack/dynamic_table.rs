//! The dynamic table (RFC 7541, 2.3.2 and 4).

use std::{collections::VecDeque, fmt};

/// The largest size in bytes: SETTINGS_HEADER_TABLE_SIZE where nobody has set it.
pub(super) const LARGEST: usize = 4096;

/// What an entry counts beside its name and value (RFC 7541, 4.1); so does a field of a header list
/// (RFC 9113, 6.5.2).
pub(super) const OVERHEAD: usize = 32;

/// The entries, the newest first. Allocates nothing while it is empty.
pub(super) struct DynamicTable<E> {
    entries: VecDeque<(u32, E)>,
    size: usize,
    limit: usize,
}

impl<E> DynamicTable<E> {
    pub(super) const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            limit: LARGEST,
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// An entry and its size. 0 is the newest.
    #[inline(always)]
    pub(super) fn get(&self, index: usize) -> Option<(&E, usize)> {
        let (size, entry) = self.entries.get(index)?;
        Some((entry, *size as usize))
    }

    /// Adds an entry of `size` bytes. Removes old ones until it fits; one that never fits empties the
    /// table (RFC 7541, 4.4).
    pub(super) fn insert(&mut self, size: usize, entry: E) {
        self.evict(self.limit.saturating_sub(size));
        if size <= self.limit {
            self.entries.push_front((size as u32, entry));
            self.size += size;
        }
    }

    /// Changes the limit (RFC 7541, 4.3).
    pub(super) fn resize(&mut self, limit: usize) {
        self.limit = limit;
        self.evict(limit);
    }

    /// Removes the oldest entries until at most `most` bytes are left.
    fn evict(&mut self, most: usize) {
        while self.size > most
            && let Some((size, _)) = self.entries.pop_back()
        {
            self.size -= size as usize;
        }
        if self.entries.is_empty() && self.entries.capacity() > 0 {
            self.entries = VecDeque::new();
        }
    }
}

/// Without the entries: they may hold secrets.
impl<E> fmt::Debug for DynamicTable<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicTable")
            .field("entries", &self.entries.len())
            .field("size", &self.size)
            .field("limit", &self.limit)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(table: &DynamicTable<char>) -> String {
        table.entries.iter().map(|(_, entry)| entry).collect()
    }

    #[test]
    fn the_oldest_entries_make_room() {
        let mut table = DynamicTable::new();
        table.resize(100);
        table.insert(40, 'a');
        table.insert(60, 'b');
        assert_eq!(entries(&table), "ba");
        assert_eq!(table.get(0), Some((&'b', 60)));
        assert_eq!(table.get(2), None);
        table.insert(1, 'c');
        assert_eq!(entries(&table), "cb");
        table.resize(60);
        assert_eq!(entries(&table), "c");
        table.insert(60, 'd');
        assert_eq!(entries(&table), "d");
    }

    #[test]
    fn an_entry_that_never_fits_empties_the_table_and_its_memory() {
        let mut table = DynamicTable::new();
        assert_eq!(table.entries.capacity(), 0);
        table.insert(LARGEST, 'a');
        table.insert(LARGEST + 1, 'b');
        assert_eq!(entries(&table), "");
        assert_eq!(table.entries.capacity(), 0);
    }
}

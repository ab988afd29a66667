//! Which replica stores which response (OpenAI's Responses API), as far as this process has seen.
//! Only requests about responses use this, so a lock is fast enough.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tailback_scaler::replica::ReplicaId;

/// Most responses that are remembered over all models; about 100 bytes each. Beyond that, the
/// oldest is forgotten.
pub const MOST: usize = 65_536;

/// The location of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseLocation {
    /// The name of the model that made it.
    pub model: Box<str>,
    /// The replica that stores it. It may have gone, but its number is not reused.
    pub replica: ReplicaId,
}

/// The latest responses.
#[derive(Debug, Default)]
pub struct StoredResponses {
    /// Ids are hashed with a random key, so that callers cannot make two of them collide.
    hasher: RandomState,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    locations: HashMap<u64, ResponseLocation>,
    /// The ids in `locations`, oldest first.
    order: VecDeque<u64>,
}

impl StoredResponses {
    /// Remembers where the response `id` is stored.
    pub fn insert(&self, id: &str, location: ResponseLocation) {
        let hash = self.hasher.hash_one(id);
        let mut table = self.table();
        if table.locations.insert(hash, location).is_some() {
            return;
        }
        table.order.push_back(hash);
        if table.order.len() > MOST
            && let Some(oldest) = table.order.pop_front()
        {
            table.locations.remove(&oldest);
        }
    }

    /// The location of the response `id`; `None`: not known.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<ResponseLocation> {
        let hash = self.hasher.hash_one(id);
        self.table().locations.get(&hash).cloned()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A poisoned lock is fine: at worst, one response is not found.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(replica: u32) -> ResponseLocation {
        ResponseLocation {
            model: "m".into(),
            replica: ReplicaId(replica),
        }
    }

    #[test]
    fn the_oldest_responses_are_forgotten_beyond_the_bound() {
        let stored = StoredResponses::default();
        for n in 0..MOST + 10 {
            stored.insert(&format!("resp_{n}"), location(n as u32));
        }
        let find = |n: usize| stored.find(&format!("resp_{n}"));
        assert_eq!(find(9), None);
        assert_eq!(find(10), Some(location(10)));
        assert_eq!(find(MOST + 9), Some(location(MOST as u32 + 9)));
        let table = stored.table();
        assert_eq!((table.locations.len(), table.order.len()), (MOST, MOST));
    }

    #[test]
    fn a_response_that_is_told_again_is_remembered_once() {
        let stored = StoredResponses::default();
        for replica in 1..=3 {
            stored.insert("resp_1", location(replica));
        }
        assert_eq!(stored.find("resp_1"), Some(location(3)));
        assert_eq!(stored.table().order.len(), 1);
        assert_eq!(stored.find("resp_2"), None);
    }
}

//! API keys: who sends a request, for which models, and whether it exceeds a limit.
//!
//! Workers find a key by the SHA-256 hash of the caller's value. So only hashes are compared,
//! never secrets, and the time of a look-up reveals nothing: callers cannot control where the hash
//! of their value leads, and a known hash does not give them the key. A usual request takes no
//! lock, and the only shared words that it writes are a few counters of its own key.

mod caller;
mod credentials;
mod rate_limit;
mod worker_keys;

use std::{sync::Arc, time::Duration};

use tailback_config::{ApiKey, ApiKeysFile};
use tailback_scaler::clock::Nanos;

use self::rate_limit::RateLimit;
pub use self::{
    caller::{Caller, KeyUse},
    credentials::remove_credentials,
    worker_keys::{KeyRef, WorkerKeys, sha256},
};
use crate::{
    status::KeyRefusal,
    telemetry::metrics::{KeyCounts, MetricsStore},
};

/// All keys in force at one time.
#[derive(Debug)]
pub struct ApiKeys {
    keys: Vec<Arc<Key>>,
    /// The counts of requests without a valid key.
    strangers: Arc<KeyCounts>,
}

/// A key in force.
#[derive(Debug)]
pub struct Key {
    /// The key as in the file.
    pub config: ApiKey,
    rate_limit: Arc<RateLimit>,
    counts: Arc<KeyCounts>,
}

/// Why a request exceeds a limit, and when it may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMany {
    /// More than `requestsPerMinute`.
    PerMinute {
        /** the limit */
        limit: u32,
        /** until the next one is allowed */
        wait: Duration,
    },
    /// More than `concurrency`.
    AtOnce {
        /** the limit */
        limit: u32,
    },
}

impl ApiKeys {
    /// Puts the keys of `file` in force. A key with the name of one in `before` continues its
    /// counts and limits, even if the key itself has changed.
    #[must_use]
    pub fn new(file: &ApiKeysFile, before: Option<&Self>, metrics: &MetricsStore) -> Self {
        let key = |config: &ApiKey| {
            let known = before.and_then(|before| before.key(&config.name));
            Arc::new(Key {
                config: config.clone(),
                rate_limit: known.map_or_else(Default::default, |key| key.rate_limit.clone()),
                counts: metrics.of_key(&config.name),
            })
        };
        Self {
            keys: file.keys().iter().map(key).collect(),
            strangers: metrics.of_key(""),
        }
    }

    /// The names of all keys.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| &*key.config.name)
    }

    /// The names of all series of metrics: those of the keys, and one for requests without a valid
    /// key.
    pub fn series(&self) -> impl Iterator<Item = &str> {
        self.names().chain([""])
    }

    fn key(&self, name: &str) -> Option<&Arc<Key>> {
        self.keys.iter().find(|key| key.config.name == name)
    }
}

impl Key {
    /// Counts a request in, unless it exceeds a limit.
    fn begin(&self, now: Nanos) -> Result<(), TooMany> {
        let limit = self.config.concurrency.map(u32::from);
        if !self.counts.begin(limit) {
            self.counts.refused(KeyRefusal::Concurrency);
            return Err(TooMany::AtOnce {
                limit: limit.unwrap_or(u32::MAX),
            });
        }
        let Some(limit) = self.config.requests_per_minute else {
            return Ok(());
        };
        self.rate_limit.take(limit, now).map_err(|wait| {
            self.counts.withdraw();
            self.counts.refused(KeyRefusal::Rate);
            let limit = limit.get();
            TooMany::PerMinute { limit, wait }
        })
    }
}

#[cfg(test)]
mod tests;

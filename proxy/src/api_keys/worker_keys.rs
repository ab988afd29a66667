//! One worker's view of the keys. No other thread touches its reference counts.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::Arc,
    time::SystemTime,
};

use ring::digest::{SHA256, digest};
use tailback_config::Sha256;

use super::{ApiKeys, Key, credentials::credentials};
use crate::{
    message::HeaderMap,
    {status::KeyRefusal, telemetry::metrics::KeyCounts},
};

/// The names of models, without aliases.
pub(super) type ModelNames = Arc<HashSet<Box<str>>>;

/// The keys by their hashes.
#[derive(Debug)]
pub struct WorkerKeys {
    by_hash: HashMap<Sha256, KeyRef>,
    by_certificate: HashMap<Sha256, KeyRef>,
    strangers: Arc<KeyCounts>,
}

/// A worker's handle on a key; cheap to clone.
#[derive(Clone, Debug)]
pub struct KeyRef(Rc<WorkerKey>);

#[derive(Debug)]
struct WorkerKey {
    key: Arc<Key>,
    models: Option<ModelNames>,
}

impl KeyRef {
    /// The key, shared by all workers.
    pub(super) fn key(&self) -> &Key {
        &self.0.key
    }

    /// The models that it may be used for; `None`: all.
    pub(super) fn models(&self) -> Option<&ModelNames> {
        self.0.models.as_ref()
    }
}

impl WorkerKeys {
    /// A worker's view of `keys`. `models` are the served models, each with its own name first,
    /// then its aliases.
    #[must_use]
    pub fn new(keys: &ApiKeys, models: &[Vec<&str>]) -> Self {
        let (mut by_hash, mut by_certificate) = (HashMap::new(), HashMap::new());
        for key in &keys.keys {
            let allowed = models
                .iter()
                .filter(|names| key.config.allows(names.iter().copied()));
            let allowed = || allowed.filter_map(|names| Some((*names.first()?).into()));
            let models = key.config.models.is_some();
            let own = KeyRef(Rc::new(WorkerKey {
                key: key.clone(),
                models: models.then(|| Arc::new(allowed().collect())),
            }));
            if let Some(hash) = key.config.sha256 {
                by_hash.insert(hash, own.clone());
            }
            if let Some(hash) = key.config.certificate {
                by_certificate.insert(hash, own);
            }
        }
        Self {
            by_hash,
            by_certificate,
            strangers: keys.strangers.clone(),
        }
    }

    /// The key in these header fields of a request, or the key of its connection's certificate.
    ///
    /// # Errors
    /// Why there is no valid key; it is not counted yet.
    /// Why it has no valid one, which is not counted yet.
    pub fn find(
        &self,
        headers: &HeaderMap,
        certificate: Option<&Sha256>,
    ) -> Result<KeyRef, (KeyRefusal, &KeyCounts)> {
        let mut refusal = KeyRefusal::Missing;
        let by_hash = credentials(headers).find_map(|given| {
            refusal = KeyRefusal::Unknown;
            self.by_hash.get(&sha256(given))
        });
        let found = by_hash.or_else(|| self.by_certificate.get(certificate?));
        let Some(key) = found else {
            return Err((refusal, &self.strangers));
        };
        let config = &key.key().config;
        if config.expires.is_some() && config.is_expired(SystemTime::now()) {
            return Err((KeyRefusal::Expired, &key.key().counts));
        }
        Ok(key.clone())
    }
}

/// The hash of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Sha256 {
    let hash = digest(&SHA256, bytes);
    // SHA-256 has 32 bytes.
    Sha256(hash.as_ref().try_into().unwrap_or([0; 32]))
}

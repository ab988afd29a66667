//! The caller of a request.

use std::sync::Arc;

use tailback_scaler::clock::Nanos;

use super::{
    TooMany,
    worker_keys::{KeyRef, ModelNames},
};
use crate::status::{KeyRefusal, Outcome};

/// The caller of a request.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Any caller, because there are no keys.
    Anyone,
    /// A caller without a valid key. It may only ask what needs no key.
    Stranger,
    /// The holder of this key.
    Key(KeyRef),
}

/// A key's request in flight. Dropping it counts the request out.
#[derive(Debug)]
pub struct KeyUse {
    key: KeyRef,
    outcome: Option<Outcome>,
}

impl Caller {
    /// Whether the caller may use the model with this name (not an alias).
    #[must_use]
    pub fn may_use(&self, model: &str) -> bool {
        match self {
            Self::Anyone => true,
            Self::Stranger => false,
            Self::Key(key) => key.models().is_none_or(|all| all.contains(model)),
        }
    }

    /// As [`may_use`](Self::may_use), and counts a refusal.
    #[must_use]
    pub fn authorize(&self, model: &str) -> bool {
        let may_use = self.may_use(model);
        if let (false, Self::Key(key)) = (may_use, self) {
            key.key().counts.refused(KeyRefusal::Model);
        }
        may_use
    }

    /// The models that the caller may use; `None`: all.
    #[must_use]
    pub fn models(&self) -> Option<ModelNames> {
        match self {
            Self::Anyone => None,
            Self::Stranger => Some(Arc::default()),
            Self::Key(key) => key.models().cloned(),
        }
    }

    /// Counts a request in; `None`: there are no keys.
    ///
    /// # Errors
    /// [`TooMany`]
    pub fn begin(&self, now: Nanos) -> Result<Option<KeyUse>, TooMany> {
        let Self::Key(key) = self else {
            return Ok(None);
        };
        key.key().begin(now)?;
        Ok(Some(KeyUse {
            key: key.clone(),
            outcome: None,
        }))
    }
}

impl KeyUse {
    /// The key's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.key.key().config.name
    }

    /// The highest class that the key may have in hold queues; `None`: any.
    #[must_use]
    pub fn class(&self) -> Option<&str> {
        self.key.key().config.class.as_deref()
    }

    /// Notes the outcome of the request.
    pub fn end(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for KeyUse {
    fn drop(&mut self) {
        self.key.key().counts.end(self.outcome);
    }
}

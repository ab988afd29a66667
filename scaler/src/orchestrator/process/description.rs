//! What a replica runs, in words that another version of this program can compare.

use serde::{Deserialize, Serialize};
use tailback_config::Model;

/// Of two replicas with the same description, one can stand for the other: the same processes,
/// spoken to in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Description(String);

/// What replicas of `model` run. Where a version has other words for it, replicas are replaced as
/// after a change of their server.
pub(super) fn describe(model: &Model) -> Description {
    Description(format!(
        "{:?} {:?}",
        model.storage_uri,
        model.server.process()
    ))
}

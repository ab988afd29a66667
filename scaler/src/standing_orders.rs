//! What operators have asked for of a model and still holds, whatever runs its replicas and whichever
//! proxy leads.

use serde::{Deserialize, Serialize};

use crate::manual_count::ManualCount;

/// Orders that hold until they are revoked or, of a count, until its time is over. Plain data: a
/// process hands them over to the next one, and a leader tells them to the other proxies, which may
/// be of another version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StandingOrders {
    /// Whether the model's scaling is paused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The count that is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manual: Option<ManualCount>,
}

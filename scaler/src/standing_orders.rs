//! Operators' orders for a model that are still in force, whatever runs its replicas and whichever
//! proxy leads.

use serde::{Deserialize, Serialize};

use crate::manual_count::ManualCount;

/// Orders that are in force until they are revoked, or until the time of a count is over. Plain
/// data: an upgrade hands them to the next process, and a leader publishes them to the other
/// proxies, which may be of another version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StandingOrders {
    /// Whether the model's scaling is paused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The count that an operator has set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manual: Option<ManualCount>,
}

//! What a proxy hands over to its successor at an upgrade.

use std::{collections::BTreeMap, io, os::fd::OwnedFd};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::standing_orders::StandingOrders;

/// A line of JSON, and the file descriptors that belong to it.
#[derive(Debug)]
pub struct Parcel {
    /// JSON, without the end of the line.
    pub line: String,
    /// In the order that the kind of line defines.
    pub descriptors: Vec<OwnedFd>,
}

/// The state that the previous process has handed over.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Inherited {
    /// The state of each model, by name.
    pub models: BTreeMap<String, InheritedModel>,
    /// The number of the next replica's control group.
    pub next_group: u64,
}

/// The state of a model in the previous process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InheritedModel {
    /// The desired count of replicas.
    pub desired: u32,
    /// What operators had ordered.
    #[serde(flatten)]
    pub orders: StandingOrders,
    /// The endpoints, `host:port`, that an operator has drained.
    pub drained: Vec<String>,
}

impl Parcel {
    /// `line` as JSON.
    ///
    /// # Errors
    /// If it cannot be JSON.
    pub fn of(line: &impl Serialize, descriptors: Vec<OwnedFd>) -> io::Result<Self> {
        let line = serde_json::to_string(line)?;
        Ok(Self { line, descriptors })
    }

    /// Parses the line.
    ///
    /// # Errors
    /// If it is not JSON of this type.
    pub fn read<T: DeserializeOwned>(&self) -> io::Result<T> {
        Ok(serde_json::from_str(&self.line)?)
    }
}

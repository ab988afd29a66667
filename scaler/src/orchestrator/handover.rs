//! What goes from a proxy to the one that takes over from it.

use std::{collections::BTreeMap, io, os::fd::OwnedFd};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::standing_orders::StandingOrders;

/// A line of JSON, and the descriptors that belong to it.
#[derive(Debug)]
pub struct Parcel {
    /// JSON, without the end of the line.
    pub line: String,
    /// In an order that the line's kind says.
    pub descriptors: Vec<OwnedFd>,
}

/// What a proxy before this one asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Inherited {
    /// By model.
    pub models: BTreeMap<String, InheritedModel>,
    /// The number of the next replica's control group.
    pub next_group: u64,
}

/// What a proxy before this one asked for, of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InheritedModel {
    /// How many replicas.
    pub desired: u32,
    /// What operators had asked for.
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

    /// What the line says.
    ///
    /// # Errors
    /// If it is no JSON of this kind.
    pub fn read<T: DeserializeOwned>(&self) -> io::Result<T> {
        Ok(serde_json::from_str(&self.line)?)
    }
}

//! The snapshot that everything else is built on: all models, all servers, all settings,
//! validated together. It never changes; a reload makes a new one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Model, Process, Server};

/// All that was configured, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The models by name.
    pub models: BTreeMap<String, Arc<Model>>,
    /// The servers by name, also those that no model uses.
    pub servers: BTreeMap<String, Arc<Server>>,
    /// What holds for the whole process, from the environment alone.
    pub process: Process,
}

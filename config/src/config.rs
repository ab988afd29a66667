//! The configuration as one immutable snapshot: all models, servers and settings, validated
//! together. A reload makes a new one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Host, Model, Process, Server, Skipped};

/// A complete, validated configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The models by name.
    pub models: BTreeMap<String, Arc<Model>>,
    /// The servers by name, including those that no model uses.
    pub servers: BTreeMap<String, Arc<Server>>,
    /// The machine that process servers run on, if its room is shared by models.
    pub host: Option<Arc<Host>>,
    /// Documents of other kinds, which were ignored because [`Process::skip_other_kinds`] is set.
    pub skipped: Skipped,
    /// The settings of the process, which come from the environment alone.
    pub process: Process,
}

//! From one process to the next: a proxy that has handed over and the one that took over, as
//! long as both have requests.
//!
//! The earlier one, the [`predecessor`], decides nothing any more. It tells what it counts, as
//! proxies tell each other ([`peers`](crate::peers)), and what each replica has of it. So the
//! later one, the [`successor`], decides by all that is inside, and ends no replica that has
//! requests of either. It tells which replicas there are, as what the earlier one holds may
//! wait for one.
//!
//! Both write lines of JSON to one socket, by whose end each knows that the other has ended.
//! Where a third process takes over meanwhile, the second passes on what both say.

mod predecessor;
mod successor;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

pub(super) use self::{
    predecessor::{Predecessor, PredecessorEvent, lost},
    successor::serve,
};
use crate::{
    orchestrator::{
        ReplicaSet,
        handover::InheritedModel,
        process::{Load, SuccessorSet},
    },
    peers::counts_update::CountsUpdate,
    replica::Replica,
};

/// What the scaler knows of the process before this one.
pub(super) struct Succession {
    /// What it asked for, of models that are not configured yet.
    pub inherited: BTreeMap<String, InheritedModel>,
    /// Its replicas, until it can be spoken to.
    pub replicas: Vec<(String, Arc<Replica>)>,
    /// As long as it has requests; and who waits for its end.
    pub predecessor: Option<(Predecessor, watch::Sender<bool>)>,
    /// The predecessor's events.
    pub sender: mpsc::UnboundedSender<PredecessorEvent>,
    pub events: mpsc::UnboundedReceiver<PredecessorEvent>,
}

impl Default for Succession {
    fn default() -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        Self {
            inherited: BTreeMap::new(),
            replicas: Vec::new(),
            predecessor: None,
            sender,
            events,
        }
    }
}

impl Succession {
    /// Tells it of a model's replicas.
    pub(super) fn tell(&self, set: &ReplicaSet) {
        match &self.predecessor {
            Some((predecessor, _)) => predecessor.tell(set),
            // It may have ended while a replica got ready.
            None if self.replicas.is_empty() => {
                let leaving = set.leaving.iter().map(|leaving| &leaving.replica);
                for replica in set.ready.iter().chain(leaving) {
                    if replica.is_open_elsewhere() {
                        replica.set_elsewhere(0, false);
                    }
                }
            }
            None => {}
        }
    }
}

/// What the successor says: a model's replicas, and which line this is.
#[derive(Debug, Serialize, Deserialize)]
struct SuccessorLine {
    number: u64,
    set: SuccessorSet,
}

/// What the predecessor says: what has changed.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct PredecessorLine {
    /// The last line of the successor that it follows.
    seen: u64,
    /// What it counts.
    counts: Option<CountsUpdate>,
    /// What its replicas have of it, by their names: all of them.
    loads: Option<BTreeMap<String, Load>>,
}

/// `line` as it is sent.
fn text(line: &impl Serialize) -> String {
    // Names and numbers: nothing that JSON cannot have.
    let mut text = serde_json::to_string(line).unwrap_or_default();
    text.push('\n');
    text
}

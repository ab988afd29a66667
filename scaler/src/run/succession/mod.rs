//! An upgrade, as the scalers of both processes see it: the predecessor has handed over, the
//! successor has taken over, and both have requests in flight.
//!
//! The [`predecessor`] makes no more decisions. It reports its counts, as proxies report them to
//! each other ([`peers`](crate::peers)), and its requests at each replica. So the [`successor`]
//! decides by all requests in flight, and stops no replica that has requests of either process.
//! The successor reports which replicas there are, because requests held by the predecessor may
//! wait for one.
//!
//! Both write lines of JSON to one socket; its end tells each that the other has ended. If a third
//! process takes over meanwhile, the second one forwards the reports of both.

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
        process::{ReplicaLoad, SuccessorSet},
    },
    peers::counts_update::CountsUpdate,
    replica::Replica,
};

/// The scaler's view of its predecessor.
pub(super) struct Succession {
    /// The predecessor's counts and orders for models that are not configured yet.
    pub inherited: BTreeMap<String, InheritedModel>,
    /// The predecessor's replicas, until the connection to it is set up.
    pub replicas: Vec<(String, Arc<Replica>)>,
    /// The predecessor while it has requests, and the channel that announces its end.
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
    /// Reports a model's replicas to the predecessor.
    pub(super) fn tell(&self, set: &ReplicaSet) {
        match &self.predecessor {
            Some((predecessor, _)) => predecessor.tell(set),
            // The predecessor may have ended while a replica got ready.
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

/// A report of the successor: a model's replicas, and the number of this line.
#[derive(Debug, Serialize, Deserialize)]
struct SuccessorLine {
    number: u64,
    set: SuccessorSet,
}

/// A report of the predecessor: what has changed.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct PredecessorLine {
    /// The number of the successor's last line that is taken into account.
    seen: u64,
    /// The predecessor's counts.
    counts: Option<CountsUpdate>,
    /// The predecessor's load on each of its replicas, by name. Complete.
    loads: Option<BTreeMap<String, ReplicaLoad>>,
}

/// `line` as JSON, with a line break.
fn text(line: &impl Serialize) -> String {
    // Names and numbers: serialising them cannot fail.
    let mut text = serde_json::to_string(line).unwrap_or_default();
    text.push('\n');
    text
}

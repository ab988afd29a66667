//! The successor's side: follows the process that handed over.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};

use super::{PredecessorLine, SuccessorLine, text};
use crate::{
    clock::Nanos,
    orchestrator::{
        ReplicaSet,
        process::{ReplicaLoad, SuccessorSet},
    },
    peers::MembershipEvent,
    replica::Replica,
};

/// A placeholder address: the predecessor is counted like a peer, but has no address.
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

/// An event from the predecessor.
#[derive(Debug)]
pub(in crate::run) enum PredecessorEvent {
    /// It reported counts.
    Counted(Box<MembershipEvent>),
    /// It has fewer requests at some replica than before.
    Freed,
    /// The predecessor has ended.
    Gone,
}

/// The connection to the predecessor, which lasts while it has requests.
pub(in crate::run) struct Predecessor {
    replicas: Arc<Mutex<Replicas>>,
    lines: mpsc::UnboundedSender<SuccessorLine>,
}

/// The replicas that the predecessor uses, or may use.
#[derive(Default)]
struct Replicas {
    /// The number of the last line written to the predecessor.
    number: u64,
    by_name: HashMap<String, Used>,
}

struct Used {
    model: String,
    replica: Arc<Replica>,
    /// Whether the last line about the model lists it as ready.
    ready: bool,
    /// The number of the first line that said so.
    since: u64,
}

// === impl Predecessor ===

impl Predecessor {
    /// Connects to the process at the other end of `link`, which may use `replicas`, each with its
    /// model's name. Must be called within a tokio runtime.
    pub(in crate::run) fn attach(
        link: UnixStream,
        replicas: Vec<(String, Arc<Replica>)>,
        events: mpsc::UnboundedSender<PredecessorEvent>,
    ) -> Self {
        let used = |(model, replica): (String, Arc<Replica>)| {
            let used = Used {
                model,
                replica: replica.clone(),
                ready: false,
                since: 0,
            };
            (replica.name().to_owned(), used)
        };
        let replicas = Arc::new(Mutex::new(Replicas {
            number: 0,
            by_name: replicas.into_iter().map(used).collect(),
        }));
        let (reader, writer) = link.into_split();
        let (lines, written) = mpsc::unbounded_channel();
        tokio::spawn(write(writer, written));
        let reported = replicas.clone();
        tokio::spawn(async move {
            if let Err(error) = receive(reader, &reported, &events).await {
                tracing::warn!(%error, "cannot read from the previous process");
            }
            lock(&reported).clear();
            // The scaler may have stopped listening: it shuts down.
            let _ = events.send(PredecessorEvent::Gone);
        });
        Self { replicas, lines }
    }

    /// Reports a model's replicas.
    pub(in crate::run) fn tell(&self, set: &ReplicaSet) {
        let number = lock(&self.replicas).announce(set);
        let set = SuccessorSet::new(set);
        // Fails if the predecessor has ended.
        let _ = self.lines.send(SuccessorLine { number, set });
    }
}

async fn write(mut writer: OwnedWriteHalf, mut lines: mpsc::UnboundedReceiver<SuccessorLine>) {
    while let Some(line) = lines.recv().await {
        if writer.write_all(text(&line).as_bytes()).await.is_err() {
            return;
        }
    }
    // The other half is still read: the socket must stay open.
    writer.forget();
}

async fn receive(
    reader: OwnedReadHalf,
    replicas: &Mutex<Replicas>,
    events: &mpsc::UnboundedSender<PredecessorEvent>,
) -> io::Result<()> {
    let mut lines = BufReader::new(reader).lines();
    while let Some(line) = lines.next_line().await? {
        let line: PredecessorLine = serde_json::from_str(&line)?;
        if let Some(update) = line.counts {
            let counted = MembershipEvent::Update {
                address: ADDRESS,
                update,
                at: Nanos::now(),
            };
            let _ = events.send(PredecessorEvent::Counted(Box::new(counted)));
        }
        if let Some(loads) = line.loads
            && lock(replicas).record(line.seen, &loads)
        {
            let _ = events.send(PredecessorEvent::Freed);
        }
    }
    Ok(())
}

/// The event that no more counts come from the predecessor.
pub(in crate::run) fn lost() -> MembershipEvent {
    MembershipEvent::Lost { address: ADDRESS }
}

// === impl Replicas ===

impl Replicas {
    /// Updates the replicas by `set`, which is announced to the predecessor next. Returns the
    /// number of the line that announces it.
    fn announce(&mut self, set: &ReplicaSet) -> u64 {
        self.number += 1;
        let number = self.number;
        let leaving = set.leaving.iter().map(|leaving| (&leaving.replica, false));
        let all = set.ready.iter().map(|replica| (replica, true));
        for (replica, ready) in all.chain(leaving) {
            self.by_name
                .entry(replica.name().to_owned())
                .or_insert_with(|| Used {
                    model: set.model.clone(),
                    replica: replica.clone(),
                    ready: !ready,
                    since: 0,
                });
        }
        for used in self.by_name.values_mut().filter(|u| u.model == set.model) {
            let ready = set.ready.iter().any(|r| Arc::ptr_eq(r, &used.replica));
            if used.ready != ready {
                (used.ready, used.since) = (ready, number);
            }
            if ready {
                used.replica.set_elsewhere(used.replica.elsewhere(), true);
            }
        }
        number
    }

    /// Records how many requests the predecessor has at each replica, as reported after it had read
    /// the line `seen`. Returns whether any replica has fewer than before.
    fn record(&mut self, seen: u64, loads: &BTreeMap<String, ReplicaLoad>) -> bool {
        let mut freed = false;
        self.by_name.retain(|name, used| {
            let before = used.replica.elsewhere();
            let load = loads.get(name).copied();
            if seen < used.since && load.is_none() {
                // The predecessor does not know the replica yet.
                return true;
            }
            let load = load.unwrap_or(ReplicaLoad {
                in_flight: 0,
                open: false,
            });
            let open = used.ready || seen < used.since || load.open;
            used.replica.set_elsewhere(load.in_flight, open);
            freed |= load.in_flight < before;
            open || load.in_flight > 0
        });
        freed
    }

    /// The predecessor has ended.
    fn clear(&mut self) {
        for (_, used) in self.by_name.drain() {
            used.replica.set_elsewhere(0, false);
        }
    }
}

fn lock(replicas: &Mutex<Replicas>) -> MutexGuard<'_, Replicas> {
    replicas.lock().unwrap_or_else(|e| e.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(name: &str) -> Arc<Replica> {
        Arc::new(Replica::new(name, "127.0.0.1:1", None))
    }

    fn set(ready: &[&Arc<Replica>]) -> ReplicaSet {
        ReplicaSet {
            model: "m".into(),
            ready: ready.iter().copied().cloned().collect(),
            ..ReplicaSet::default()
        }
    }

    fn loads(of: &[(&str, u32, bool)]) -> BTreeMap<String, ReplicaLoad> {
        let one = |&(name, in_flight, open): &(&str, u32, bool)| {
            (name.to_owned(), ReplicaLoad { in_flight, open })
        };
        of.iter().map(one).collect()
    }

    #[test]
    fn a_replica_is_in_use_until_the_predecessor_knows_that_it_goes() {
        let (a, mut replicas) = (replica("m-0"), Replicas::default());
        assert_eq!(replicas.announce(&set(&[&a])), 1);
        assert!(a.is_in_use());
        // Reported before the line was read.
        assert!(!replicas.record(0, &loads(&[])));
        assert!(a.is_in_use());
        replicas.record(1, &loads(&[("m-0", 2, true)]));
        assert_eq!(a.in_flight(), 2);
        let number = replicas.announce(&set(&[]));
        assert!(replicas.record(1, &loads(&[("m-0", 0, true)])), "freed");
        assert!(a.is_in_use(), "it may send more");
        replicas.record(number, &loads(&[("m-0", 1, false)]));
        assert!(a.is_in_use());
        assert!(replicas.record(number, &loads(&[])));
        assert!(!a.is_in_use());
    }

    #[test]
    fn what_the_predecessor_had_is_free_when_it_has_ended() {
        let a = replica("m-0");
        a.set_elsewhere(3, true);
        let mut replicas = Replicas::default();
        replicas.announce(&set(&[&a]));
        assert_eq!(a.in_flight(), 3);
        replicas.clear();
        assert!(!a.is_in_use());
    }
}

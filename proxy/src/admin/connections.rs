//! The connections on the admin address, and how many of them may carry which kind of answer.
//!
//! Health must answer whatever else goes on here. So answers that take time are bounded by kind,
//! and all bounds together are below that on connections: there is always a connection without an
//! answer in progress. The oldest of these is closed where a further connection comes, as nginx
//! does with its reusable connections.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use metrics::{Counter, counter};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Most connections at once.
const CONNECTIONS: usize = 256;

/// What takes one of a limited number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerKind {
    /// A page that is complete in memory before it is sent, or an order.
    Page,
    /// `/events`, and logs that are followed. Each reads every model twice a second.
    Stream,
    /// `/ledgers`: each other proxy reads it.
    Ledger,
    /// A connection with calls of KEDA, which has one for all its `ScaledObject`s.
    Keda,
}

impl AnswerKind {
    const ALL: [Self; 4] = [Self::Page, Self::Stream, Self::Ledger, Self::Keda];

    /// Most at once.
    const fn most(self) -> usize {
        match self {
            Self::Page | Self::Stream | Self::Keda => 32,
            Self::Ledger => 128,
        }
    }

    /// Why one more is refused.
    pub(super) const fn too_many(self) -> &'static str {
        match self {
            Self::Page => "too many requests at once",
            Self::Stream => "too many live pages and logs are followed",
            Self::Ledger => "too many proxies read the counts",
            Self::Keda => "too many connections have calls of KEDA",
        }
    }
}

/// How many connections there are for health at the least.
const RESERVE: usize = {
    let (mut taken, mut i) = (0, 0);
    while i < AnswerKind::ALL.len() {
        taken += AnswerKind::ALL[i].most();
        i += 1;
    }
    CONNECTIONS - taken
};
const _: () = assert!(RESERVE >= 32);

/// All connections.
pub(super) struct Connections {
    open: Mutex<Open>,
    limits: [Arc<Semaphore>; AnswerKind::ALL.len()],
    closed: Counter,
    refused: Counter,
}

#[derive(Default)]
struct Open {
    /// By number, the oldest first.
    connections: BTreeMap<u64, Arc<State>>,
    next: u64,
}

/// What is known of a connection.
#[derive(Default)]
struct State {
    /// How many answers are in progress.
    answers: AtomicUsize,
    /// Notified when the connection is to close.
    close: Notify,
}

impl Connections {
    pub(super) fn new() -> Self {
        Self {
            open: Mutex::default(),
            limits: AnswerKind::ALL.map(|kind| Arc::new(Semaphore::new(kind.most()))),
            closed: counter!("tailback_admin_connections_closed_total"),
            refused: counter!("tailback_admin_requests_refused_total", "reason" => "busy"),
        }
    }

    /// Takes in a new connection. `None`: all have answers in progress.
    pub(super) fn admit(self: &Arc<Self>) -> Option<AdminConnection> {
        let mut open = self.open();
        if open.connections.len() >= CONNECTIONS {
            let mut all = open.connections.iter();
            let idle = all.find(|(_, state)| state.answers.load(Ordering::Relaxed) == 0);
            self.closed.increment(1);
            let oldest = *idle?.0;
            if let Some(state) = open.connections.remove(&oldest) {
                state.close.notify_one();
            }
        }
        let number = open.next;
        open.next += 1;
        let state = Arc::<State>::default();
        open.connections.insert(number, state.clone());
        drop(open);
        Some(AdminConnection {
            all: self.clone(),
            number,
            state,
            keda: OnceLock::new(),
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection. Dropping it makes room.
pub(super) struct AdminConnection {
    all: Arc<Connections>,
    number: u64,
    state: Arc<State>,
    /// Taken by the first call of KEDA.
    keda: OnceLock<OwnedSemaphorePermit>,
}

impl AdminConnection {
    /// Returns when the connection is to close to make room.
    pub(super) async fn closed(&self) {
        self.state.close.notified().await;
    }

    /// What closes it later.
    pub(super) fn closer(&self) -> Closer {
        Closer(self.state.clone())
    }

    /// Permits an answer of this kind, for as long as the permit lives. `None`: there are too many.
    pub(super) fn permit(&self, kind: AnswerKind) -> Option<AnswerPermit> {
        let limit = &self.all.limits[kind as usize];
        let taken = match kind {
            AnswerKind::Keda if self.keda.get().is_some() => Some(None),
            _ => limit.clone().try_acquire_owned().ok().map(Some),
        };
        let Some(taken) = taken else {
            self.all.refused.increment(1);
            return None;
        };
        self.state.answers.fetch_add(1, Ordering::Relaxed);
        let state = self.state.clone();
        let limit = match (kind, taken) {
            (AnswerKind::Keda, Some(taken)) => {
                // If another call was faster, its permit is enough.
                let _ = self.keda.set(taken);
                None
            }
            (_, taken) => taken,
        };
        Some(AnswerPermit {
            _limit: limit,
            state,
        })
    }
}

/// Closes a connection.
pub(super) struct Closer(Arc<State>);

impl Closer {
    pub(super) fn close(&self) {
        self.0.close.notify_one();
    }
}

impl Drop for AdminConnection {
    fn drop(&mut self) {
        self.all.open().connections.remove(&self.number);
    }
}

/// Permits one answer.
pub(super) struct AnswerPermit {
    _limit: Option<OwnedSemaphorePermit>,
    state: Arc<State>,
}

impl Drop for AnswerPermit {
    fn drop(&mut self) {
        self.state.answers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn is_closed(connection: &AdminConnection) -> bool {
        connection.closed().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_connection_without_an_answer_goes_for_a_new_one() {
        let all = Arc::new(Connections::new());
        let admit = || all.admit().unwrap();
        let connections: Vec<_> = (0..CONNECTIONS).map(|_| admit()).collect();
        let permit = connections[0].permit(AnswerKind::Page).unwrap();
        let first = admit();
        assert!(!is_closed(&connections[0]) && is_closed(&connections[1]));
        drop(permit);
        let second = admit();
        assert!(is_closed(&connections[0]) && !is_closed(&connections[2]));
        assert!(!is_closed(&first) && !is_closed(&second));
        // What ends by itself makes room.
        drop(connections);
        let _more: Vec<_> = (2..CONNECTIONS).map(|_| admit()).collect();
        assert!(!is_closed(&first));
    }

    #[test]
    fn all_kinds_at_their_limits_leave_room_for_health() {
        let all = Arc::new(Connections::new());
        let mut busy = Vec::new();
        for kind in AnswerKind::ALL {
            loop {
                let connection = all.admit().unwrap();
                let Some(permit) = connection.permit(kind) else {
                    break;
                };
                busy.push((connection, permit));
            }
        }
        assert_eq!(busy.len(), CONNECTIONS - RESERVE);
        for _ in 0..2 * CONNECTIONS {
            assert!(all.admit().is_some());
        }
        assert!(busy.iter().all(|(connection, _)| !is_closed(connection)));
    }

    #[test]
    fn a_connection_of_keda_counts_once_whatever_its_calls() {
        let all = Arc::new(Connections::new());
        let connection = all.admit().unwrap();
        let calls: Vec<_> = (0..2 * AnswerKind::Keda.most())
            .map(|_| connection.permit(AnswerKind::Keda).unwrap())
            .collect();
        let others: Vec<_> = (1..AnswerKind::Keda.most())
            .map(|_| {
                let connection = all.admit().unwrap();
                drop(connection.permit(AnswerKind::Keda).unwrap());
                connection
            })
            .collect();
        let further = all.admit().unwrap();
        assert!(further.permit(AnswerKind::Keda).is_none());
        drop(others);
        assert!(further.permit(AnswerKind::Keda).is_some());
        drop(calls);
    }
}

//! The connections on the admin address, and how many of them may carry which kind of answer.
//!
//! Health checks must be answered, whatever else happens here. So answers that take time are
//! limited by kind, and all these limits together are below the limit of connections: there is
//! always a connection without an answer in progress. When one more connection comes, the oldest
//! of these is closed, as nginx does with its reusable connections.

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

/// A kind of answer that is limited in number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerKind {
    /// A page that is complete in memory before it is sent, or an operator's order.
    Page,
    /// `/events`, and logs that are followed. Each reads every model twice a second.
    Stream,
    /// `/ledgers`: each other proxy reads it.
    Ledger,
    /// A connection with calls from KEDA, which uses one for all its `ScaledObject`s.
    Keda,
}

impl AnswerKind {
    const ALL: [Self; 4] = [Self::Page, Self::Stream, Self::Ledger, Self::Keda];

    /// The largest number at once.
    const fn most(self) -> usize {
        match self {
            Self::Page | Self::Stream | Self::Keda => 32,
            Self::Ledger => 128,
        }
    }

    /// The error for one too many.
    pub(super) const fn too_many(self) -> &'static str {
        match self {
            Self::Page => "too many requests at once",
            Self::Stream => "too many live pages and logs are followed",
            Self::Ledger => "too many proxies read the counts",
            Self::Keda => "too many connections have calls of KEDA",
        }
    }
}

/// The number of connections that are always left for health checks.
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
    /// By number, oldest first.
    connections: BTreeMap<u64, Arc<State>>,
    next: u64,
}

/// The state of a connection.
#[derive(Default)]
struct State {
    /// How many answers are in progress.
    answers: AtomicUsize,
    /// Notified when the connection must close.
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

    /// Adds a new connection. `None`: all connections have answers in progress.
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

/// A connection. Dropping it makes room for another.
pub(super) struct AdminConnection {
    all: Arc<Connections>,
    number: u64,
    state: Arc<State>,
    /// Set by KEDA's first call.
    keda: OnceLock<OwnedSemaphorePermit>,
}

impl AdminConnection {
    /// Returns when the connection must close to make room.
    pub(super) async fn closed(&self) {
        self.state.close.notified().await;
    }

    /// A handle that closes the connection later.
    pub(super) fn closer(&self) -> Closer {
        Closer(self.state.clone())
    }

    /// A permit for an answer of this kind, held while the answer is in progress. `None`: there
    /// are too many.
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
                // If another call has set it meanwhile, that one's permit is enough.
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

/// A permit for one answer.
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
        // A connection that ends makes room for another.
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

//! The requests in flight on a worker, for listing and cancelling. Each worker keeps its own in a
//! thread-local table, so that a request costs only an entry there.

use std::{
    cell::RefCell,
    num::NonZeroU32,
    rc::{Rc, Weak},
};

use serde::Serialize;
use slab::Slab;
use tailback_scaler::clock::Nanos;

use super::account::{AccountRef, ReplicaHandle};
use crate::protocol::api::Route;

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// The request's body, from its caller.
    Receiving,
    /// A replica.
    Held,
    /// The beginning of the replica's response.
    Waiting,
    /// The rest of the response.
    Answering,
}

/// The task behind a request.
pub trait Subject {
    /// What the request waits for.
    fn step(&self) -> Step;

    /// Cancels it soon.
    fn cancel(&self);
}

/// A request in flight, as listed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestView {
    /// The worker's number and the request's. No other request of this process has the same id.
    pub id: String,
    /// The pattern of its path, such as `/v1/chat/completions`; `None`: it is in no known API.
    pub path: Option<String>,
    /// What it waits for.
    pub step: Step,
    /// The time since it arrived.
    pub seconds: f64,
    /// The name of its present or last replica.
    pub replica: Option<String>,
    /// The address of that replica, `host:port`.
    pub endpoint: Option<String>,
    /// Bytes of the response that were sent to the caller.
    pub bytes: u64,
    /// Tokens in them, as far as the response contains counts; `None`: it is not for a language
    /// model.
    pub tokens: Option<u64>,
}

/// Keeps a request in its thread's table until it is dropped, on the same thread.
#[derive(Debug)]
pub(super) struct Presence {
    /// Its key in the table, from 1.
    place: NonZeroU32,
}

struct Entry {
    number: u64,
    account: AccountRef,
    arrived: Nanos,
    route: Option<&'static Route>,
    subject: Weak<dyn Subject>,
    replica: Option<Rc<dyn ReplicaHandle>>,
    bytes: u64,
    tokens: Option<u64>,
}

struct Table {
    entries: Slab<Entry>,
    /// The number of the latest request.
    last: u64,
}

thread_local! {
    static TABLE: RefCell<Table> = const {
        RefCell::new(Table {
            entries: Slab::new(),
            last: 0,
        })
    };
}

/// This thread's requests of `model`, oldest first, at most `most` of them, and their total
/// number. `worker` is the number of this thread.
pub(super) fn of_model(model: &str, worker: usize, most: usize) -> (Vec<RequestView>, usize) {
    let now = Nanos::now();
    TABLE.with_borrow(|table| {
        let entries = table.entries.iter().map(|(_, entry)| entry);
        let mut all: Vec<_> = entries.filter(|entry| entry.is_of(model)).collect();
        all.sort_unstable_by_key(|entry| (entry.arrived, entry.number));
        let oldest = all.iter().take(most);
        let views = oldest.filter_map(|entry| entry.view(worker, now));
        (views.collect(), all.len())
    })
}

/// Cancels this thread's request with this number, if it is one of `model`. Returns whether it
/// existed.
pub(super) fn cancel(model: &str, number: u64) -> bool {
    let found = TABLE.with_borrow(|table| {
        let mut entries = table.entries.iter().map(|(_, entry)| entry);
        let entry = entries.find(|entry| entry.number == number && entry.is_of(model))?;
        entry.subject.upgrade()
    });
    // Outside the borrow, because cancelling may access the table.
    found.inspect(|subject| subject.cancel()).is_some()
}

impl Presence {
    /// A request that arrived at `arrived`. `subject` carries it out.
    pub(super) fn new(
        account: AccountRef,
        arrived: Nanos,
        route: Option<&'static Route>,
        subject: Weak<dyn Subject>,
    ) -> Option<Self> {
        TABLE.with_borrow_mut(|table| {
            let place = table.entries.vacant_key();
            let presence = NonZeroU32::new(u32::try_from(place).ok()?.checked_add(1)?)?;
            table.last += 1;
            table.entries.insert(Entry {
                number: table.last,
                account,
                arrived,
                route,
                subject,
                replica: None,
                bytes: 0,
                tokens: None,
            });
            Some(Self { place: presence })
        })
    }

    /// Notes that the request is sent to `replica`.
    pub(super) fn give(&self, replica: Rc<dyn ReplicaHandle>) {
        // The previous handle is dropped outside the borrow, because that may end other requests.
        drop(self.update(|entry| entry.replica.replace(replica)));
    }

    /// Notes that `bytes` more of the response were sent, which then has `tokens` in all.
    pub(super) fn sent(&self, bytes: usize, tokens: Option<u64>) {
        self.update(|entry| {
            entry.bytes += bytes as u64;
            entry.tokens = tokens.or(entry.tokens);
        });
    }

    fn update<T>(&self, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        TABLE.with_borrow_mut(|table| table.entries.get_mut(self.key()).map(change))
    }

    fn key(&self) -> usize {
        self.place.get() as usize - 1
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        // At the end of the thread, the table may have been dropped.
        let entry = TABLE.try_with(|table| table.borrow_mut().entries.try_remove(self.key()));
        drop(entry);
    }
}

impl Entry {
    fn is_of(&self, model: &str) -> bool {
        *self.account.0.name == *model
    }

    fn view(&self, worker: usize, now: Nanos) -> Option<RequestView> {
        let replica = self.replica.as_ref().map(|own| own.replica());
        Some(RequestView {
            id: format!("{worker}-{}", self.number),
            path: self.route.map(|route| route.pattern.to_string()),
            step: self.subject.upgrade()?.step(),
            seconds: now.since(self.arrived).as_secs_f64(),
            replica: replica.map(|replica| replica.name().to_owned()),
            endpoint: replica.map(|replica| replica.authority().to_owned()),
            bytes: self.bytes,
            tokens: self.tokens,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, sync::Arc};

    use tailback_scaler::ledger::{Ledger, Wake};

    use super::*;
    use crate::{exchange::account::Account, telemetry::metrics::MetricsStore};

    #[derive(Default)]
    struct Carried(Cell<bool>);

    impl Subject for Carried {
        fn step(&self) -> Step {
            Step::Held
        }

        fn cancel(&self) {
            self.0.set(true);
        }
    }

    fn account(name: &str) -> AccountRef {
        AccountRef::new(Account {
            name: name.into(),
            ledger: Arc::new(Ledger::new(1, Wake::default())),
            metrics: MetricsStore::default().of(name, "s"),
        })
    }

    #[test]
    fn requests_are_there_until_they_end_and_only_those_of_their_model_are_found() {
        let (m, n) = (account("m"), account("n"));
        let carried: Vec<_> = (0..4).map(|_| Rc::new(Carried::default())).collect();
        let present = |of: &AccountRef, at: u64| {
            let subject: Rc<dyn Subject> = carried[at as usize].clone();
            Presence::new(of.clone(), Nanos(at), None, Rc::downgrade(&subject))
        };
        let mut all: Vec<_> = (1..4).rev().map(|at| present(&m, at)).collect();
        let other = present(&n, 0);
        let (views, there) = of_model("m", 7, 2);
        let ids: Vec<_> = views.iter().map(|view| &*view.id).collect();
        assert_eq!((ids, there), (vec!["7-3", "7-2"], 3), "the oldest first");
        assert_eq!(views[0].step, Step::Held);
        if let Some(oldest) = &all[2] {
            oldest.sent(5, None);
            oldest.sent(6, Some(2));
            oldest.sent(1, None);
        }
        let view = &of_model("m", 7, 1).0[0];
        assert_eq!((view.bytes, view.tokens), (12, Some(2)));
        assert!(!cancel("n", 3), "another model's");
        assert!(cancel("m", 3));
        assert!(carried[1].0.get() && !carried[2].0.get());
        all.pop();
        assert!(!cancel("m", 3), "it has ended");
        assert_eq!(of_model("m", 7, 9).1, 2);
        drop((all, other));
        assert_eq!((of_model("m", 7, 9).1, of_model("n", 7, 9).1), (0, 0));
    }
}

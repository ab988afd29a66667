//! Faults that a test injects: error responses, delays, closed connections, outages, and silent
//! watches. They affect all users but [`User::Admin`](super::access::User), which is the test
//! itself.

use std::{sync::Mutex, time::Duration};

use tokio::sync::watch;

use super::{access::Action, failure::Failure};

/// A fault of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The request gets this response.
    Answer(Failure),
    /// 403, as if no role allowed it.
    Forbid,
    /// The response is delayed.
    Delay(Duration),
    /// The request is carried out, and the connection is closed without a response.
    Disconnect,
}

/// How often a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// For this number of requests.
    Next(u32),
    /// Until [`Faults::clear`].
    Always,
}

#[derive(Debug)]
struct Rule {
    verb: String,
    resource: String,
    fault: Fault,
    times: Times,
}

/// Counts of events that affect all open watches. Each watch remembers the counts that it has
/// handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchSignals {
    /// How often open watches were silenced.
    pub silence: u32,
    /// How often open watches were expired.
    pub expiry: u32,
    /// How often bookmarks were sent.
    pub bookmark: u32,
}

/// Whether the server takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It accepts connections.
    Up,
    /// It accepts none, and all were closed.
    Down,
}

/// The active faults.
#[derive(Debug)]
pub struct Faults {
    rules: Mutex<Vec<Rule>>,
    signals: watch::Sender<WatchSignals>,
    cuts: watch::Sender<u32>,
    reach: watch::Sender<Reach>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            rules: Mutex::default(),
            signals: watch::Sender::default(),
            cuts: watch::Sender::default(),
            reach: watch::Sender::new(Reach::Up),
        }
    }
}

impl Faults {
    /// Adds a fault for requests of `verb` on `resource` (such as `deployments/scale`; `*` for
    /// any).
    ///
    /// # Panics
    /// If another thread has panicked while it used the faults.
    pub fn add(&self, times: Times, verb: &str, resource: &str, fault: Fault) {
        self.rules.lock().expect("faults").push(Rule {
            verb: verb.into(),
            resource: resource.into(),
            fault,
            times,
        });
    }

    /// Answers the next `next` requests of `verb` on `resource` with `answer`.
    pub fn answer(&self, next: u32, verb: &str, resource: &str, answer: Failure) {
        self.add(Times::Next(next), verb, resource, Fault::Answer(answer));
    }

    /// Forbids this to all users.
    pub fn forbid(&self, verb: &str, resource: &str) {
        self.add(Times::Always, verb, resource, Fault::Forbid);
    }

    /// Delays such requests.
    pub fn delay(&self, verb: &str, resource: &str, by: Duration) {
        self.add(Times::Always, verb, resource, Fault::Delay(by));
    }

    /// Removes all faults of requests. Does not end an outage.
    ///
    /// # Panics
    /// If another thread has panicked while it used the faults.
    pub fn clear(&self) {
        self.rules.lock().expect("faults").clear();
    }

    /// The faults of this request, in order, up to the first that ends it.
    pub(super) fn take(&self, action: &Action<'_>) -> Vec<Fault> {
        let resource = action.full_resource();
        let is = |pattern: &str, value: &str| pattern == "*" || pattern == value;
        let mut taken = Vec::new();
        let mut rules = self.rules.lock().expect("faults");
        for rule in rules.iter_mut() {
            if !is(&rule.verb, action.verb) || !is(&rule.resource, &resource) {
                continue;
            }
            if let Times::Next(left) = &mut rule.times {
                *left -= 1;
            }
            taken.push(rule.fault.clone());
            if !matches!(rule.fault, Fault::Delay(_)) {
                break;
            }
        }
        rules.retain(|rule| rule.times != Times::Next(0));
        taken
    }

    // === connections ===

    /// Closes all open connections, watches included. New ones are accepted.
    pub fn drop_connections(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Begins an outage: closes all connections and accepts none.
    pub fn go_down(&self) {
        self.reach.send_replace(Reach::Down);
        self.drop_connections();
    }

    /// Ends the outage, on the same port.
    pub fn come_back(&self) {
        self.reach.send_replace(Reach::Up);
    }

    pub(super) fn cuts(&self) -> watch::Receiver<u32> {
        self.cuts.subscribe()
    }

    pub(super) fn reach(&self) -> watch::Receiver<Reach> {
        self.reach.subscribe()
    }

    // === watches ===

    /// Silences the open watches: they stay open and send nothing more, like a connection whose
    /// other end has vanished.
    pub fn silence_watches(&self) {
        self.signals.send_modify(|s| s.silence += 1);
    }

    /// Ends the open watches with an ERROR event of 410.
    pub fn expire_watches(&self) {
        self.signals.send_modify(|s| s.expiry += 1);
    }

    /// Sends a bookmark to all watches that asked for them.
    pub fn send_bookmarks(&self) {
        self.signals.send_modify(|s| s.bookmark += 1);
    }

    pub(super) fn signals(&self) -> watch::Receiver<WatchSignals> {
        self.signals.subscribe()
    }
}

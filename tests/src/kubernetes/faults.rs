//! Faults, at the test's word: answers that are refusals, delays, cut
//! connections, outages, watches gone deaf. They are for everyone but
//! [`User::Admin`](super::access::User), which is the test itself.

use std::{sync::Mutex, time::Duration};

use tokio::sync::watch;

use super::{access::Action, failure::Failure};

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// This is the answer.
    Answer(Failure),
    /// 403, as if no role allowed it.
    Forbid,
    /// The answer comes so much later.
    Delay(Duration),
    /// What was asked is done, and the connection closed without an answer.
    Disconnect,
}

/// How often a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// To so many requests.
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

/// Things that happened to all open watches; each watch remembers what it has
/// seen of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchSignals {
    /// Times that open watches went deaf.
    pub silence: u32,
    /// Times that open watches expired.
    pub expiry: u32,
    /// Times that all were sent a bookmark.
    pub bookmark: u32,
}

/// Whether the server takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It does.
    Up,
    /// Nobody listens, and no connection is left.
    Down,
}

/// The faults there are now.
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
    /// Lets requests of `verb` on `resource` (`deployments/scale`; `*` for any)
    /// meet a fault.
    ///
    /// # Panics
    /// If another use of the faults did.
    pub fn add(&self, times: Times, verb: &str, resource: &str, fault: Fault) {
        self.rules.lock().expect("faults").push(Rule {
            verb: verb.into(),
            resource: resource.into(),
            fault,
            times,
        });
    }

    /// The next so many requests of `verb` on `resource` are answered so.
    pub fn answer(&self, next: u32, verb: &str, resource: &str, answer: Failure) {
        self.add(Times::Next(next), verb, resource, Fault::Answer(answer));
    }

    /// From now on nobody may do that.
    pub fn forbid(&self, verb: &str, resource: &str) {
        self.add(Times::Always, verb, resource, Fault::Forbid);
    }

    /// From now on that takes so much longer.
    pub fn delay(&self, verb: &str, resource: &str, by: Duration) {
        self.add(Times::Always, verb, resource, Fault::Delay(by));
    }

    /// No request meets a fault any more; an outage is another matter.
    ///
    /// # Panics
    /// If another use of the faults did.
    pub fn clear(&self) {
        self.rules.lock().expect("faults").clear();
    }

    /// What happens to this request: all that match, in order, up to the first
    /// that ends it.
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

    /// Closes all open connections, watches among them; new ones are welcome.
    pub fn drop_connections(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Nobody listens from now on, and all open connections are closed.
    pub fn go_down(&self) {
        self.reach.send_replace(Reach::Down);
        self.drop_connections();
    }

    /// Listens again, on the same port.
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

    /// The watches that are open now stay so, and never send anything again: a
    /// connection whose other end has gone without a word.
    pub fn silence_watches(&self) {
        self.signals.send_modify(|s| s.silence += 1);
    }

    /// The watches that are open now end with an ERROR event, 410.
    pub fn expire_watches(&self) {
        self.signals.send_modify(|s| s.expiry += 1);
    }

    /// The watches that asked for bookmarks get one now.
    pub fn send_bookmarks(&self) {
        self.signals.send_modify(|s| s.bookmark += 1);
    }

    pub(super) fn signals(&self) -> watch::Receiver<WatchSignals> {
        self.signals.subscribe()
    }
}

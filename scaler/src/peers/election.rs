//! The election of the leader by a Lease: the proxy whose name it holds leads. Pure: the caller
//! passes the time and the content of the Lease.
//!
//! The rules are those of Kubernetes' own components (client-go,
//! `tools/leaderelection`):
//!
//! - The holder renews the Lease again and again. Each write names the version that was read, so
//!   that of two concurrent writes one fails.
//! - A Lease that has not changed for its duration is free. Each proxy measures that time on its
//!   own monotonic clock, from when it first saw the change. Clock times of different machines
//!   are never compared.
//! - A leader that cannot renew for [`Times::renew`] stops leading, counted from when the last
//!   successful write was *sent*. Others wait for the longer [`Times::lease`] from when they
//!   *saw* that write, which was later. So two never lead at once.
//! - A leader that stops removes its name from the Lease, and the next proxy takes it at once.

use std::time::Duration;

use crate::clock::Nanos;

/// The times of the election. `retry` < `renew` < `lease`.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// A Lease that has not changed for this time is free. Whole seconds.
    pub lease: Duration,
    /// A leader that could not renew for this time stops leading.
    pub renew: Duration,
    /// Time between two tries.
    pub retry: Duration,
}

/// A third of client-go's 15, 10 and 2 s, because held requests may wait while no proxy leads.
/// The cost is one small write a second.
pub const TIMES: Times = Times {
    lease: Duration::from_secs(5),
    renew: Duration::from_secs(3),
    retry: Duration::from_secs(1),
};

/// The content of a Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseRecord {
    /// The holder's name; empty: no holder.
    pub holder: String,
    /// How long it is held after the last change.
    pub duration: Duration,
    /// A stamp that differs after each write.
    pub stamp: String,
}

/// What to do with the Lease as it was last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionStep {
    /// It does not exist: create it.
    Create,
    /// It is free: write our name into it.
    TakeOver,
    /// We hold it: renew it.
    Renew,
    /// Another proxy holds it.
    Wait,
}

/// One proxy's state in the election.
#[derive(Clone, Debug)]
pub struct Election {
    me: String,
    times: Times,
    /// The last seen Lease, and when this content was first seen.
    seen: Option<(LeaseRecord, Nanos)>,
    /// When our last successful write was sent.
    renewed: Option<Nanos>,
}

impl Election {
    /// A candidate with the name `me`, which no other proxy may have.
    #[must_use]
    pub fn new(me: String, times: Times) -> Self {
        Self {
            me,
            times,
            seen: None,
            renewed: None,
        }
    }

    /// Our name.
    #[must_use]
    pub fn me(&self) -> &str {
        &self.me
    }

    /// Takes the Lease as it was read; `None`: it does not exist.
    pub fn saw(&mut self, found: Option<LeaseRecord>, now: Nanos) {
        if found.as_ref().is_none_or(|record| record.holder != self.me) {
            self.renewed = None;
        }
        let known = self.seen.take();
        self.seen = found.map(|record| match known {
            Some((before, since)) if before == record => (record, since),
            _ => (record, now),
        });
    }

    /// What to do now.
    #[must_use]
    pub fn step(&self, now: Nanos) -> ElectionStep {
        match &self.seen {
            None => ElectionStep::Create,
            Some((record, _)) if record.holder == self.me => ElectionStep::Renew,
            Some((record, _)) if record.holder.is_empty() => ElectionStep::TakeOver,
            Some((record, since)) if now.since(*since) >= record.duration => ElectionStep::TakeOver,
            Some(_) => ElectionStep::Wait,
        }
    }

    /// Takes the result `record` of a successful write that was sent at `sent`.
    pub fn wrote(&mut self, record: LeaseRecord, sent: Nanos) {
        self.renewed = (record.holder == self.me).then_some(sent);
        self.seen = Some((record, sent));
    }

    /// Until when we lead without a further write; `None`: we do not lead.
    #[must_use]
    pub fn until(&self) -> Option<Nanos> {
        self.renewed.map(|renewed| renewed + self.times.renew)
    }

    /// Whether we lead at `now`.
    #[must_use]
    pub fn leads(&self, now: Nanos) -> bool {
        self.until().is_some_and(|until| now < until)
    }

    /// The holder in the last seen Lease; `None`: no holder.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        let (record, _) = self.seen.as_ref()?;
        Some(record.holder.as_str()).filter(|holder| !holder.is_empty())
    }
}

#[cfg(test)]
mod tests;

//! Who leads: the one whose name is in a Lease. Pure: time and what the Lease
//! says come from the caller.
//!
//! The rules are those of Kubernetes' own components (client-go,
//! `tools/leaderelection`):
//!
//! - who holds the Lease writes it again and again; each write has to name the
//!   version that was read, so that of two at once one fails;
//! - a Lease that has not changed for its duration is free. That time is taken
//!   on one's own clock, from when the change was first seen: what clocks say
//!   of the hour is never compared;
//! - who could not write for [`Times::renew`], counted from when the last write
//!   was *sent*, leads no more. Others count the longer [`Times::lease`] from
//!   when they *saw* it, which was later: so two never lead at once;
//! - who goes leaves the Lease without a holder, and the next one takes it at once.

use std::time::Duration;

use crate::clock::Nanos;

/// How long things take. `retry` < `renew` < `lease`.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// A Lease that does not change is free after this: whole seconds.
    pub lease: Duration,
    /// Who cannot renew for this leads no more.
    pub renew: Duration,
    /// Between two tries.
    pub retry: Duration,
}

/// A third of client-go's 15, 10 and 2 s: requests that are held while nobody
/// leads wait for as long, and one small write a second is what it costs.
pub const TIMES: Times = Times {
    lease: Duration::from_secs(5),
    renew: Duration::from_secs(3),
    retry: Duration::from_secs(1),
};

/// What a Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// For how long, from the last change.
    pub duration: Duration,
    /// Differs after each write of the holder's.
    pub stamp: String,
}

/// What to do with the Lease that was seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is none: make it.
    Create,
    /// It is free: put our name in.
    TakeOver,
    /// It is ours: write it again.
    Renew,
    /// It is another's.
    Wait,
}

/// One proxy's view of the Lease, and its part in the election.
#[derive(Clone, Debug)]
pub struct Election {
    me: String,
    times: Times,
    /// The Lease, and when it was first seen like that.
    seen: Option<(LeaseRecord, Nanos)>,
    /// When the last write that succeeded was sent.
    renewed: Option<Nanos>,
}

impl Election {
    /// A candidate under a name that nobody else has.
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

    /// The Lease says this now; `None`: there is none.
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

    /// What may be done about it.
    #[must_use]
    pub fn step(&self, now: Nanos) -> Step {
        match &self.seen {
            None => Step::Create,
            Some((record, _)) if record.holder == self.me => Step::Renew,
            Some((record, _)) if record.holder.is_empty() => Step::TakeOver,
            Some((record, since)) if now.since(*since) >= record.duration => Step::TakeOver,
            Some(_) => Step::Wait,
        }
    }

    /// The write that was sent at `sent` succeeded, and the Lease says `record`.
    pub fn wrote(&mut self, record: LeaseRecord, sent: Nanos) {
        self.renewed = (record.holder == self.me).then_some(sent);
        self.seen = Some((record, sent));
    }

    /// Until when we lead, unless a write succeeds; `None`: we do not.
    #[must_use]
    pub fn until(&self) -> Option<Nanos> {
        self.renewed.map(|renewed| renewed + self.times.renew)
    }

    /// Whether we lead.
    #[must_use]
    pub fn leads(&self, now: Nanos) -> bool {
        self.until().is_some_and(|until| now < until)
    }

    /// Who holds the Lease, as far as is known.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        let (record, _) = self.seen.as_ref()?;
        Some(record.holder.as_str()).filter(|holder| !holder.is_empty())
    }
}

#[cfg(test)]
mod tests;

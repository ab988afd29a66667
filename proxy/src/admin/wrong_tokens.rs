//! Limits wrong tokens from one caller: to [`AT_ONCE`] at once, then to one each [`INTERVAL`].
//! Above the limit its tokens are not checked, because an answer to a right one would reveal that
//! it is right.
//!
//! An operator may share an address with whoever sends wrong tokens, most likely a program with an
//! outdated one. So the limit is higher than such a program will reach. For a guesser it is still
//! far too slow: at 100 tokens a second, guessing one with 40 random bits takes 350 years.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use metrics::{Counter, counter};
use tailback_scaler::clock::Nanos;

/// Wrong tokens that a caller may send at once.
const AT_ONCE: u32 = 100;
/// The time after which one more is allowed.
const INTERVAL: Duration = Duration::from_millis(10);
/// Most callers that are remembered. Beyond that, the caller with the longest silence is
/// forgotten.
const CALLERS: usize = 1024;
/// Least time between two lines in the log.
const LOG: Duration = Duration::from_secs(60);

/// The callers that have sent wrong tokens lately.
pub(super) struct WrongTokens {
    state: Mutex<State>,
    wrong: Counter,
    slowed: Counter,
}

#[derive(Default)]
struct State {
    /// By caller: when the next wrong token would be due at an even pace (generic cell rate
    /// algorithm).
    due: HashMap<IpAddr, Nanos>,
    log: LogLimit,
}

/// Limits the log lines.
#[derive(Default)]
struct LogLimit {
    last: Option<Nanos>,
    since: u64,
}

impl WrongTokens {
    pub(super) fn new() -> Self {
        let refused =
            |reason| counter!("tailback_admin_requests_refused_total", "reason" => reason);
        Self {
            state: Mutex::default(),
            wrong: refused("wrong_token"),
            slowed: refused("slowed"),
        }
    }

    /// Whether tokens of this caller are checked now.
    ///
    /// # Errors
    /// How long they are not checked, because of earlier wrong tokens.
    pub(super) fn check(&self, caller: Option<IpAddr>, now: Nanos) -> Result<(), Duration> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = state.wait(source(caller), now);
        drop(state);
        if wait.is_zero() {
            return Ok(());
        }
        self.slowed.increment(1);
        Err(wait)
    }

    /// Counts a wrong token, and logs that now and then.
    pub(super) fn count(&self, caller: Option<IpAddr>, now: Nanos) {
        self.wrong.increment(1);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.add(source(caller), now);
        let count = state.log.count(now);
        drop(state);
        if let Some(count) = count {
            let caller = caller.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string());
            tracing::warn!(
                caller,
                count,
                "wrong tokens on the admin address; the caller is that of the last one"
            );
        }
    }
}

impl State {
    fn wait(&self, source: IpAddr, now: Nanos) -> Duration {
        let ahead = self.due.get(&source).map(|due| due.since(now));
        ahead
            .unwrap_or_default()
            .saturating_sub(INTERVAL * (AT_ONCE - 1))
    }

    fn add(&mut self, source: IpAddr, now: Nanos) {
        if self.due.len() >= CALLERS && !self.due.contains_key(&source) {
            self.due.retain(|_, due| *due > now);
            let quietest = self.due.iter().min_by_key(|(_, due)| **due);
            if self.due.len() >= CALLERS
                && let Some((&quietest, _)) = quietest
            {
                self.due.remove(&quietest);
            }
        }
        let due = self.due.entry(source).or_insert(now);
        *due = (*due).max(now) + INTERVAL;
    }
}

impl LogLimit {
    /// Counts one. Returns the number since the last log line, if a line is due.
    fn count(&mut self, now: Nanos) -> Option<u64> {
        self.since += 1;
        if self.last.is_some_and(|last| now.since(last) < LOG) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

/// The caller that an address stands for. A /64 of IPv6 counts as one caller.
fn source(caller: Option<IpAddr>) -> IpAddr {
    match caller.map(|ip| ip.to_canonical()) {
        Some(IpAddr::V6(ip)) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        Some(v4) => v4,
        None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Nanos = Nanos(1_000_000_000_000);

    fn ip(text: &str) -> IpAddr {
        source(Some(text.parse().unwrap()))
    }

    #[test]
    fn after_a_hundred_wrong_tokens_a_caller_may_send_a_hundred_a_second() {
        let mut state = State::default();
        let (guesser, other) = (ip("10.0.0.1"), ip("10.0.0.2"));
        for _ in 0..AT_ONCE {
            assert_eq!(state.wait(guesser, START), Duration::ZERO);
            state.add(guesser, START);
        }
        assert_eq!(state.wait(guesser, START), INTERVAL);
        assert_eq!(state.wait(other, START), Duration::ZERO);
        let later = START + INTERVAL;
        assert_eq!(state.wait(guesser, later), Duration::ZERO);
        state.add(guesser, later);
        assert_eq!(state.wait(guesser, later), INTERVAL);
        let much_later = later + INTERVAL * AT_ONCE;
        state.add(guesser, much_later);
        assert_eq!(state.wait(guesser, much_later), Duration::ZERO);
    }

    #[test]
    fn callers_by_ipv6_are_told_apart_by_their_networks() {
        assert_eq!(ip("2001:db8::1"), ip("2001:db8::ffff:0:0:2"));
        assert_ne!(ip("2001:db8::1"), ip("2001:db8:0:1::1"));
        assert_eq!(ip("::ffff:10.0.0.1"), ip("10.0.0.1"));
    }

    #[test]
    fn the_quietest_of_too_many_callers_is_forgotten() {
        let mut state = State::default();
        let nth = |n: usize| ip(&format!("10.0.{}.{}", n / 256, n % 256));
        for n in 0..CALLERS {
            for _ in 0..=AT_ONCE {
                state.add(nth(n), START + Duration::from_millis(n as u64));
            }
        }
        let now = START + INTERVAL * 2;
        state.add(nth(CALLERS), now);
        assert_eq!(state.due.len(), CALLERS);
        assert!(!state.due.contains_key(&nth(0)) && state.due.contains_key(&nth(1)));
        // Callers that have waited long enough need not be remembered.
        state.add(nth(CALLERS + 1), now + INTERVAL * 1000);
        assert_eq!(state.due.len(), 1);
    }

    #[test]
    fn the_log_has_a_line_a_minute_at_most_with_the_count_since_the_last() {
        let mut log = LogLimit::default();
        assert_eq!(log.count(START), Some(1));
        assert_eq!(log.count(START), None);
        assert_eq!(log.count(START + LOG / 2), None);
        assert_eq!(log.count(START + LOG), Some(3));
    }
}

//! The updates by which a proxy tells others the counts of its ledgers: a stream of lines of JSON
//! (`GET /ledgers` on the admin address).
//!
//! The first line has every model. Each further line has the models whose counts have changed
//! since. While a model has no change, its in-flight is constant, so the listener can continue
//! the integral. A line without models shows that the proxy is alive.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ledger::Reading, standing_orders::StandingOrders};

/// One line. Unknown fields, as of later versions, are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountsUpdate {
    /// The sender's instance name, new at each start.
    pub instance: String,
    /// When it was written, in ns on the sender's own clock, which only grows.
    pub at: u64,
    /// Whether the sender leads, that is, asks for replicas.
    pub leads: bool,
    /// Counts by model; `None`: the sender no longer serves the model.
    pub models: BTreeMap<String, Option<Counts>>,
}

/// The counts of one ledger. The counters are totals since the ledger was made, so the next line
/// is right even if some were missed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// The ledger's number, which distinguishes it from an earlier ledger of the same model.
    pub ledger: u64,
    /// Requests that have arrived so far.
    pub arrived: u64,
    /// Requests that have completed so far.
    pub completed: u64,
    /// Requests that are held now.
    pub held: u64,
    /// The integral of in-flight over time, in request-nanoseconds; wraps.
    pub request_ns: u64,
    /// The integral of held requests over time, in request-nanoseconds; wraps. Older proxies do
    /// not send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_ns: Option<u64>,
    /// Requests whose body is awaited now. Older proxies do not send it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub receiving: u64,
    /// The integral of those over time, in request-nanoseconds; wraps.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub receiving_ns: u64,
    /// From the leader: the count of replicas that it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<u32>,
    /// From the leader: that it does not scale the model for a while, because somebody else has
    /// changed the count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_to_others: Option<LeftToOthers>,
    /// From the leader: operators' orders, which the next leader takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders: Option<StandingOrders>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Somebody else has changed the count, and the leader does not scale the model for a while. The
/// next leader respects that too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftToOthers {
    /// Until when, in seconds since 1970 (UTC).
    pub until: u64,
    /// Whether somebody else keeps changing it.
    pub contested: bool,
}

/// Why a line is rejected.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is not such a line.
    #[error("not a line of /ledgers: {0}")]
    Syntax(#[from] serde_json::Error),
    /// More requests have completed than arrived.
    #[error("model {0}: more requests completed than arrived")]
    Negative(String),
}

/// Encodes the changes for one listener.
#[derive(Debug, Default)]
pub struct DeltaEncoder {
    sent: BTreeMap<String, Counts>,
}

// === impl Counts ===

impl Counts {
    /// The counts of the reading of a ledger with this number.
    #[must_use]
    pub fn new(ledger: u64, reading: &Reading) -> Self {
        Self {
            ledger,
            arrived: reading.arrived,
            completed: reading.completed,
            held: reading.held,
            request_ns: reading.integral(),
            held_ns: Some(reading.held_integral_at()),
            receiving: reading.receiving,
            receiving_ns: reading.receiving_integral_at(),
            desired: None,
            left_to_others: None,
            orders: None,
        }
    }

    fn in_flight(&self) -> u64 {
        self.arrived.wrapping_sub(self.completed)
    }

    /// Whether only the integrals differ.
    fn stands_still_since(&self, before: &Self) -> bool {
        *before
            == Self {
                request_ns: before.request_ns,
                held_ns: before.held_ns,
                receiving_ns: before.receiving_ns,
                ..self.clone()
            }
    }
}

// === impl CountsUpdate ===

impl CountsUpdate {
    /// Reads a line, with or without the line feed.
    ///
    /// # Errors [`Unreadable`], if it is not a line that a proxy writes.
    pub fn parse(text: &[u8]) -> Result<Self, Unreadable> {
        let line: Self = serde_json::from_slice(text)?;
        let negative = |counts: &Counts| (counts.in_flight() as i64) < 0;
        for (model, counts) in &line.models {
            if counts.as_ref().is_some_and(negative) {
                return Err(Unreadable::Negative(model.clone()));
            }
        }
        Ok(line)
    }

    /// The line, with the line feed.
    #[must_use]
    pub fn text(&self) -> String {
        // Cannot fail: it has only names and numbers.
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

// === impl DeltaEncoder ===

impl DeltaEncoder {
    /// The changes since the last call. `models` are the current counts of all models.
    pub fn news(&mut self, models: BTreeMap<String, Counts>) -> BTreeMap<String, Option<Counts>> {
        let gone = self.sent.keys().filter(|name| !models.contains_key(*name));
        let mut news: BTreeMap<_, _> = gone.map(|name| (name.clone(), None)).collect();
        for (name, counts) in &models {
            let known = self.sent.get(name);
            if !known.is_some_and(|before| counts.stands_still_since(before)) {
                news.insert(name.clone(), Some(counts.clone()));
            }
        }
        self.sent = models;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(arrived: u64, completed: u64, request_ns: u64) -> Counts {
        Counts {
            arrived,
            completed,
            request_ns,
            ..Counts::default()
        }
    }

    fn models(all: &[(&str, Counts)]) -> BTreeMap<String, Counts> {
        let owned = |(name, counts): &(&str, Counts)| ((*name).to_owned(), counts.clone());
        all.iter().map(owned).collect()
    }

    #[test]
    fn first_line_has_all_and_the_next_what_changed() {
        let mut encoder = DeltaEncoder::default();
        let first = encoder.news(models(&[("a", counts(1, 0, 5)), ("b", counts(0, 0, 0))]));
        assert_eq!(first.len(), 2);
        // The integral of requests in flight grows without a change.
        let same = encoder.news(models(&[("a", counts(1, 0, 9)), ("b", counts(0, 0, 0))]));
        assert!(same.is_empty(), "{same:?}");
        let next = encoder.news(models(&[("a", counts(1, 1, 10))]));
        let expected = [
            ("a".to_owned(), Some(counts(1, 1, 10))),
            ("b".to_owned(), None),
        ];
        assert_eq!(next, BTreeMap::from(expected));
        let asks = Counts {
            desired: Some(2),
            ..counts(1, 1, 10)
        };
        assert_eq!(encoder.news(models(&[("a", asks.clone())])).len(), 1);
        let paused = StandingOrders {
            paused: true,
            ..StandingOrders::default()
        };
        let ordered = Counts {
            orders: Some(paused),
            ..asks
        };
        assert_eq!(encoder.news(models(&[("a", ordered.clone())])).len(), 1);
        assert!(encoder.news(models(&[("a", ordered)])).is_empty());
    }

    #[test]
    fn a_line_is_read_as_it_was_written_and_nothing_else_is() {
        let ordered = Counts {
            orders: Some(StandingOrders::default()),
            ..counts(3, 2, 1)
        };
        let line = CountsUpdate {
            instance: "x".into(),
            at: u64::MAX,
            leads: true,
            models: [
                ("m".to_owned(), Some(counts(3, 2, u64::MAX))),
                ("gone".to_owned(), None),
                ("ordered".to_owned(), Some(ordered)),
            ]
            .into(),
        };
        assert_eq!(CountsUpdate::parse(line.text().as_bytes()).unwrap(), line);
        for (text, says) in [
            ("", "not a line of /ledgers"),
            ("[1]\n", "not a line of /ledgers"),
            (
                r#"{"instance":"x","at":-1,"leads":true,"models":{}}"#,
                "not a line",
            ),
            (
                r#"{"instance":"x","at":1,"leads":true,"models":{"m":{"ledger":0,"arrived":1,"completed":2,"held":0,"requestNs":0}}}"#,
                "model m: more requests completed than arrived",
            ),
        ] {
            let error = CountsUpdate::parse(text.as_bytes())
                .unwrap_err()
                .to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        let more = r#"{"instance":"x","at":1,"leads":false,"models":{},"later":[1]}"#;
        assert!(CountsUpdate::parse(more.as_bytes()).is_ok());
    }
}

//! What a proxy tells others of its ledgers: lines of JSON, for as long as they
//! listen (`GET /ledgers` on the admin address).
//!
//! The first line has every model, each further one those whose counts have
//! changed since: where none has, in-flight goes on as it was, so that the
//! listener knows the integral as well. A line without models says that the
//! proxy is alive.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ledger::Reading;

/// One line. Fields that a later version adds are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountsUpdate {
    /// Who tells: another name for each start of a proxy.
    pub instance: String,
    /// When, in ns on the encoder's own clock. Grows.
    pub at: u64,
    /// Whether it is the one that asks for replicas.
    pub leads: bool,
    /// Counts by model; `None`: no longer served there.
    pub models: BTreeMap<String, Option<Counts>>,
}

/// The counts of one ledger. All but `held` and what is asked for are totals since the
/// ledger was made, so that whatever line was missed, the next one is right.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Tells a model's ledger from one of the same name before it.
    pub ledger: u64,
    /// Requests that have come in.
    pub arrived: u64,
    /// Requests that have gone out.
    pub completed: u64,
    /// Requests waiting for a replica now.
    pub held: u64,
    /// The integral of in-flight over time, in request-nanoseconds; wraps.
    pub request_ns: u64,
    /// The same of those that wait. Older proxies do not send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_ns: Option<u64>,
    /// Replicas it asks for, if it is the one that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<u32>,
    /// That it leaves the count to somebody else, if it is the one that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_to_others: Option<LeftToOthers>,
}

/// A count that somebody else has changed, and that is left alone: by the next
/// leader as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftToOthers {
    /// Until when, in seconds since 1970.
    pub until: u64,
    /// Whether they keep changing it.
    pub contested: bool,
}

/// Why a line is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Not such a line.
    #[error("not a line of /ledgers: {0}")]
    Syntax(#[from] serde_json::Error),
    /// More went out than came in.
    #[error("model {0}: more requests completed than arrived")]
    Negative(String),
}

/// Writes the lines for one listener.
#[derive(Debug, Default)]
pub struct DeltaEncoder {
    told: BTreeMap<String, Counts>,
}

// === impl Counts ===

impl Counts {
    /// What `reading` says.
    #[must_use]
    pub fn new(ledger: u64, reading: &Reading) -> Self {
        Self {
            ledger,
            arrived: reading.arrived,
            completed: reading.completed,
            held: reading.held,
            request_ns: reading.integral(),
            held_ns: Some(reading.held_integral_at()),
            desired: None,
            left_to_others: None,
        }
    }

    fn in_flight(&self) -> u64 {
        self.arrived.wrapping_sub(self.completed)
    }

    /// Whether the integrals are all that differs.
    fn stands_still_since(&self, before: &Self) -> bool {
        *before
            == Self {
                request_ns: before.request_ns,
                held_ns: before.held_ns,
                ..self.clone()
            }
    }
}

// === impl CountsUpdate ===

impl CountsUpdate {
    /// Reads a line, with or without its end.
    ///
    /// # Errors
    /// [`Unreadable`], where no proxy would write it.
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

    /// The line as it is sent, with its end.
    #[must_use]
    pub fn text(&self) -> String {
        // Names and numbers: nothing that JSON cannot have.
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

// === impl DeltaEncoder ===

impl DeltaEncoder {
    /// What has changed since the last call: `models` has the present counts of
    /// all models.
    pub fn news(&mut self, models: BTreeMap<String, Counts>) -> BTreeMap<String, Option<Counts>> {
        let gone = self.told.keys().filter(|name| !models.contains_key(*name));
        let mut news: BTreeMap<_, _> = gone.map(|name| (name.clone(), None)).collect();
        for (name, counts) in &models {
            let known = self.told.get(name);
            if !known.is_some_and(|before| counts.stands_still_since(before)) {
                news.insert(name.clone(), Some(counts.clone()));
            }
        }
        self.told = models;
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
        // The integral of what is inside grows by itself.
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
        assert_eq!(encoder.news(models(&[("a", asks)])).len(), 1);
    }

    #[test]
    fn a_line_is_read_as_it_was_written_and_nothing_else_is() {
        let line = CountsUpdate {
            instance: "x".into(),
            at: u64::MAX,
            leads: true,
            models: [
                ("m".to_owned(), Some(counts(3, 2, u64::MAX))),
                ("gone".to_owned(), None),
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

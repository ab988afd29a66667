//! `tailback decisions`: the last scale decisions, read from the admin address.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    figures::plain,
    settings::AdminAddress,
    text_table::{Column, text_table},
};
use crate::admin_client::AdminClient;

#[derive(Debug, clap::Args)]
pub(super) struct Decisions {
    /// Of this model alone, by its own name
    #[arg(value_name = "MODEL")]
    model: Option<String>,
    /// Print each decision as JSON, with the fields of /decisions
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminAddress,
}

/// A decision, with the fields of `/decisions` and `/events`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Decision {
    time: f64,
    pub(super) model: String,
    from: u32,
    to: u32,
    lag: u64,
    held: u64,
    reasons: Vec<String>,
    outcome: DecisionOutcome,
}

/// The outcome. An unknown word, from a newer proxy, is shown as it is.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum DecisionOutcome {
    Failed { failed: String },
    Word(String),
}

impl Default for DecisionOutcome {
    fn default() -> Self {
        Self::Word("accepted".to_owned())
    }
}

impl Decision {
    /// When it was made, as a time of the day in UTC.
    pub(super) fn clock(&self) -> String {
        let time = self.time();
        let clock = time.split_once('T').map(|(_, clock)| clock.to_owned());
        clock.unwrap_or(time)
    }

    /// The counts of replicas before and after.
    pub(super) fn change(&self) -> String {
        format!("{} → {}", self.from, self.to)
    }

    /// Its reasons, and the outcome if it was not carried out.
    pub(super) fn why(&self) -> String {
        let reasons = self.reasons.join("; ");
        let outcome = match &self.outcome {
            DecisionOutcome::Word(word) if word == "accepted" => return plain(&reasons),
            DecisionOutcome::Word(word) if word == "dry_run" => "not asked for: dryRun or paused",
            DecisionOutcome::Word(word) if word == "foreign" => "somebody else changed the count",
            DecisionOutcome::Word(word) => word,
            DecisionOutcome::Failed { failed } => &format!("failed: {failed}"),
        };
        plain(&format!("{reasons} ({outcome})"))
    }

    fn time(&self) -> String {
        let since_1970 = Duration::try_from_secs_f64(self.time).unwrap_or_default();
        let time = SystemTime::UNIX_EPOCH.checked_add(since_1970);
        // RFC 3339 has no form for years after 9999.
        let time = time.filter(|_| self.time < 2.5e11);
        time.map(|time| humantime::format_rfc3339_seconds(time).to_string())
            .unwrap_or_else(|| "–".to_owned())
    }
}

/// The decisions as text, oldest first.
///
/// # Errors
/// Why they cannot be read.
pub(super) fn show(asked: Decisions) -> Result<String, String> {
    let client = AdminClient::new(&asked.admin.env())?;
    let page = client.json("/decisions")?;
    let newest_first = page["decisions"].as_array().map_or(&[][..], Vec::as_slice);
    let wanted = |one: &&Value| match &asked.model {
        Some(model) => one["model"] == *model,
        None => true,
    };
    let decisions = newest_first.iter().rev().filter(wanted);
    if asked.json {
        return Ok(decisions.map(|one| format!("{one}\n")).collect());
    }
    let decisions = decisions.map(Decision::deserialize);
    let decisions: Vec<_> = decisions
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{} has a decision that is none: {error}", client.address()))?;
    if decisions.is_empty() {
        return Ok(match asked.model {
            Some(model) => format!(
                "no decision for {model:?} among the last {}\n",
                newest_first.len()
            ),
            None => "no decisions yet\n".to_owned(),
        });
    }
    let row = |one: &Decision| {
        [
            one.time(),
            plain(&one.model),
            one.change(),
            one.lag.to_string(),
            one.held.to_string(),
            one.why(),
        ]
    };
    let columns = [
        Column::Words("TIME"),
        Column::Words("MODEL"),
        Column::Words("REPLICAS"),
        Column::Numbers("LAG"),
        Column::Numbers("HELD"),
        Column::Words("WHY"),
    ];
    Ok(text_table(
        columns,
        &decisions.iter().map(row).collect::<Vec<_>>(),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_decision_says_when_what_and_why() {
        let decision = |outcome: Value| {
            let page = json!({
                "time": 1_700_000_000.5, "model": "m", "from": 0, "to": 2, "lag": 3, "held": 3,
                "reasons": ["a", "b\u{1b}"], "outcome": outcome, "later": 1,
            });
            Decision::deserialize(page).unwrap()
        };
        let one = decision(json!("accepted"));
        assert_eq!(one.time(), "2023-11-14T22:13:20Z");
        assert_eq!(one.clock(), "22:13:20Z");
        assert_eq!(
            (one.change().as_str(), one.why().as_str()),
            ("0 → 2", "a; b ")
        );
        let why = decision(json!({ "failed": "no room" })).why();
        assert_eq!(why, "a; b  (failed: no room)");
        assert_eq!(decision(json!("newer")).why(), "a; b  (newer)");
    }

    #[test]
    fn times_that_are_none_are_shown_as_such() {
        for time in [-1.0, f64::NAN, 1e300, f64::INFINITY] {
            let one = Decision {
                time,
                ..Decision::default()
            };
            assert!(["–", "1970-01-01T00:00:00Z"].contains(&one.time().as_str()));
        }
    }
}

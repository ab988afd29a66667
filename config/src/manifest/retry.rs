//! Reads `retry`: when a request is sent again although a replica may have processed it.

use crate::manifest::fields::{Fields, Value};
use crate::suggest::hint;
use crate::{Retry, RetryBudget, RetryCause};

/// The methods that `methods` may list.
const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];

/// Reads `{ on, methods, attempts, budget }`, or `none` to override the server's setting.
pub(super) fn read(value: &Value<'_>) -> Option<Option<Retry>> {
    if !value.is_map() {
        return match value.text()?.as_str() {
            "none" => Some(None),
            _ => {
                value.wrong("{ on: [reset, 503], … }, or none");
                None
            }
        };
    }
    let before = value.failed();
    let fields = value.fields()?;
    let on = fields
        .required("on", "a list such as [reset, 503]")
        .and_then(|value| read_list(&value, &RetryCause::ALL.map(RetryCause::as_str)))
        .unwrap_or_default();
    let methods = fields
        .get("methods")
        .and_then(|value| read_list(&value, METHODS))
        .unwrap_or_default();
    let attempts = fields
        .get("attempts")
        .map_or(Some(Retry::ATTEMPTS), |value| {
            value.number("a whole number from 1 to 10", |attempts| {
                (1..=Retry::MOST_ATTEMPTS).contains(attempts)
            })
        });
    let budget = fields
        .get("budget")
        .map_or(Some(RetryBudget::default()), |value| {
            read_budget(value.fields()?)
        });
    fields.finish();
    if value.failed() != before {
        return None;
    }
    let cause = |word: &String| {
        RetryCause::ALL
            .into_iter()
            .find(|cause| cause.as_str() == word)
    };
    Some(Some(Retry {
        on: on.iter().filter_map(cause).collect(),
        methods,
        attempts: attempts?,
        budget: budget?,
    }))
}

fn read_budget(fields: Fields<'_>) -> Option<RetryBudget> {
    let usual = RetryBudget::default();
    let percent = fields.get("percent").map_or(Some(usual.percent), |value| {
        value.number("a whole number from 0 to 100", |percent| *percent <= 100)
    });
    let min_per_second = fields
        .get("minPerSecond")
        .map_or(Some(usual.min_per_second), |value| {
            value.number("a whole number from 0 to 1000", |count| *count <= 1000)
        });
    fields.finish();
    Some(RetryBudget {
        percent: percent?,
        min_per_second: min_per_second?,
    })
}

/// Reads a list of one or more of the `known` words, without duplicates.
fn read_list(value: &Value<'_>, known: &[&str]) -> Option<Vec<String>> {
    let items = value.items()?;
    if items.is_empty() {
        value.rule(&format!(
            "the list is empty; expected at least one of {}",
            known.join(", ")
        ));
    }
    let mut words = Vec::with_capacity(items.len());
    for item in items {
        let word = item.text()?;
        if words.contains(&word) {
            item.wrong("a word that is not in the list already");
        } else if known.contains(&word.as_str()) {
            words.push(word);
        } else {
            let hint = hint(&word, known.iter().copied());
            item.wrong(&format!("one of {}{hint}", known.join(", ")));
        }
    }
    Some(words)
}

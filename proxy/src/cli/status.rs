//! `tailback status`: the models, or one of them, read from the admin address.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    figures::{count, plain, seconds, some_seconds},
    model_view::ModelView,
    settings::AdminAddress,
    text_table::{Column, text_table},
};
use crate::admin_client::{AdminClient, encoded};

#[derive(Debug, clap::Args)]
pub(super) struct Status {
    /// One model, by its name or an alias, with its replicas
    #[arg(value_name = "MODEL")]
    model: Option<String>,
    /// Print what /models or /models/{name} of the admin address says, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminAddress,
}

/// The status as text.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn show(asked: Status) -> Result<String, String> {
    let client = AdminClient::new(&asked.admin.env())?;
    let page = match &asked.model {
        Some(model) => client.json(&format!("/models/{}", encoded(model))),
        None => client.json("/models"),
    }?;
    if asked.json {
        return Ok(format!("{page:#}\n"));
    }
    let text = match asked.model {
        Some(_) => one(&page),
        None => all(&page),
    };
    text.map_err(|error| {
        let address = client.address();
        format!("{address} answers otherwise than this version of tailback expects: {error}")
    })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text in the page.
fn word(value: &Value) -> String {
    plain(value.as_str().unwrap_or_default())
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn all(page: &Value) -> serde_json::Result<String> {
    let mut rows = Vec::new();
    for model in list(&page["models"]) {
        let view = ModelView::of_page(model)?;
        rows.push([
            word(&model["name"]),
            view.state().as_str().to_owned(),
            count(view.in_flight),
            count(view.held),
            view.replicas(),
            plain(view.why()),
        ]);
    }
    let columns = [
        Column::Words("MODEL"),
        Column::Words("STATE"),
        Column::Numbers("LAG"),
        Column::Numbers("HELD"),
        Column::Words("REPLICAS"),
        Column::Words("WHY"),
    ];
    let mut text = match rows.is_empty() {
        true => "no model is configured\n".to_owned(),
        false => text_table(columns, &rows),
    };
    for gone in list(&page["draining"]) {
        let (name, lag) = (word(&gone["name"]), number(&gone["inFlight"]));
        let _ = writeln!(
            text,
            "\n{name} is no longer configured and has {lag} requests in flight"
        );
    }
    proxies(&mut text, &page["proxies"]);
    Ok(text)
}

/// Which proxy leads, if there are several, and what prevents it.
fn proxies(text: &mut String, proxies: &Value) {
    if proxies.is_null() {
        return;
    }
    let others = list(&proxies["peers"]).len();
    let leads = match (proxies["leads"].as_bool(), proxies["leader"].as_str()) {
        (Some(true), _) => "leads".to_owned(),
        (_, Some(leader)) => format!("follows {}", plain(leader)),
        (_, None) => "has no leader".to_owned(),
    };
    let name = word(&proxies["instance"]);
    let _ = writeln!(text, "\nthis proxy, {name}, {leads}; others: {others}");
    for lost in list(&proxies["notHeard"]) {
        let _ = writeln!(text, "unreachable: {}", word(lost));
    }
    for trouble in list(&proxies["trouble"]) {
        let _ = writeln!(text, "{}", word(trouble));
    }
}

fn one(page: &Value) -> serde_json::Result<String> {
    let view = ModelView::of_page(page)?;
    let replicas = &page["replicas"];
    let mut text = format!(
        "{} on server {}: {}\n\n",
        word(&page["name"]),
        plain(&view.server),
        view.state().as_str()
    );
    let mut line = |title: &str, what: String| {
        let _ = writeln!(text, "{title:<10}{what}");
    };
    line("why", plain(&view.reason));
    for title in ["failure", "warning"] {
        if let Some(why) = replicas[title].as_str() {
            line(title, plain(why));
        }
    }
    line(
        "requests",
        format!(
            "{} in flight, {} of them held; {} completed",
            view.in_flight, view.held, view.completed
        ),
    );
    let paused = if view.paused {
        "; scaling is paused"
    } else {
        ""
    };
    let mut counts = format!(
        "{} ready of {} asked for, {} starting, {} draining{paused}",
        view.ready, view.desired, view.starting, view.draining
    );
    if let Some(took) = replicas["startUpSeconds"].as_f64() {
        let _ = write!(counts, "; the last start took {}", seconds(took));
    }
    line("replicas", counts);
    if let Some(state) = page["placement"]["state"].as_str() {
        let loaded: Vec<_> = list(&page["placement"]["loaded"])
            .iter()
            .map(word)
            .collect();
        let place = match loaded.is_empty() {
            true => String::new(),
            false => format!(", in {}", loaded.join(" ")),
        };
        let reason = page["placement"]["reason"].as_str();
        let reason = reason.map(|why| format!(": {why}")).unwrap_or_default();
        line("placement", plain(&format!("{state}{place}{reason}")));
    }
    for tokens in tokens(&page["llm"]) {
        line("tokens", tokens);
    }
    let rows = rows(replicas);
    if !rows.is_empty() {
        let columns = [
            Column::Words("REPLICA"),
            Column::Words("ADDRESS"),
            Column::Words("STATE"),
            Column::Numbers("LAG"),
            Column::Numbers("REQUESTS"),
            Column::Numbers("FAILURES"),
            Column::Words("LAST FAILURE"),
        ];
        let _ = write!(text, "\n{}", text_table(columns, &rows));
    }
    Ok(text)
}

/// One line for each API operation of a language model.
fn tokens(llm: &Value) -> Vec<String> {
    let operations = llm["operations"].as_object().into_iter().flatten();
    let line = |(operation, of): (&String, &Value)| {
        let tokens = |name: &str| match of[name].as_f64() {
            Some(tokens) => count(tokens as u64),
            None => "–".to_owned(),
        };
        let times = |name: &str| {
            let quantile = |share: &str| some_seconds(of[name][share].as_f64());
            format!("p50 {} p99 {}", quantile("p50"), quantile("p99"))
        };
        plain(&format!(
            "{operation}: {} in, {} out; first token {}, each further one {}",
            tokens("inputTokens"),
            tokens("outputTokens"),
            times("timeToFirstTokenSeconds"),
            times("timePerOutputTokenSeconds"),
        ))
    };
    let mut lines: Vec<_> = operations.map(line).collect();
    if let Some(cached) = llm["cachedTokens"].as_u64() {
        lines.push(format!("{} came from a cache", count(cached)));
    }
    lines
}

/// One row for each replica: ready ones with their health, others with their state.
fn rows(replicas: &Value) -> Vec<[String; 7]> {
    let row = |replica: &Value, state: String| {
        let counted = |name: &str| replica[name].as_u64().map(count).unwrap_or_default();
        [
            word(&replica["name"]),
            word(&replica["endpoint"]),
            state,
            counted("inFlight"),
            counted("requests"),
            counted("failures"),
            word(&replica["lastFailure"]),
        ]
    };
    let since = |replica: &Value| some_seconds(replica["seconds"].as_f64());
    let ready = list(&replicas["ready"]).iter();
    let coming = list(&replicas["coming"]).iter();
    let leaving = list(&replicas["leaving"]).iter();
    ready
        .map(|one| row(one, word(&one["health"])))
        .chain(coming.map(|one| row(one, format!("starting for {}", since(one)))))
        .chain(leaving.map(|one| row(one, format!("draining for {}", since(one)))))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_of_another_version_is_shown_as_far_as_it_goes() {
        assert_eq!(all(&json!({})).unwrap(), "no model is configured\n");
        assert!(
            one(&json!({ "name": "m" }))
                .unwrap()
                .starts_with("m on server : idle\n")
        );
        assert!(one(&json!({ "inFlight": [] })).is_err());
    }

    #[test]
    fn several_proxies_are_told_with_what_is_in_their_way() {
        let page = json!({
            "models": [], "draining": [{ "name": "old", "inFlight": 2 }],
            "proxies": {
                "instance": "a", "leads": false, "leader": "b", "peers": [{}],
                "notHeard": ["10.0.0.1:9006"], "trouble": ["no Lease"],
            },
        });
        let expected = "\
no model is configured

old is no longer configured and has 2 requests in flight

this proxy, a, follows b; others: 1
unreachable: 10.0.0.1:9006
no Lease
";
        assert_eq!(all(&page).unwrap(), expected);
    }

    #[test]
    fn a_language_model_has_its_tokens_told() {
        let page = json!({
            "name": "m", "server": "s", "inFlight": 1, "completed": 2,
            "replicas": {
                "desired": 1, "readyCount": 1, "starting": 0, "draining": 0, "reason": "lag 1",
                "warning": "w", "startUpSeconds": 2.0,
                "ready": [{ "name": "m-0", "endpoint": "h:1", "health": "healthy", "inFlight": 1,
                    "requests": 3, "failures": 1, "lastFailure": "it answered 500" }],
                "coming": [{ "name": "m-1", "endpoint": "h:2", "inFlight": 0, "seconds": 3.0 }],
            },
            "placement": { "state": "available", "loaded": ["gpu0"], "reason": null },
            "llm": {
                "cachedTokens": 5,
                "operations": { "chat": {
                    "inputTokens": 10.0, "outputTokens": 2000.0,
                    "timeToFirstTokenSeconds": { "p50": 0.1, "p99": null },
                    "timePerOutputTokenSeconds": { "p50": 0.01, "p99": 0.02 },
                } },
            },
        });
        let expected = "\
m on server s: ready

why       lag 1
warning   w
requests  1 in flight, 0 of them held; 2 completed
replicas  1 ready of 1 asked for, 0 starting, 0 draining; the last start took 2.0 s
placement available, in gpu0
tokens    chat: 10 in, 2.0k out; first token p50 100 ms p99 –, each further one p50 10 ms p99 20 ms
tokens    5 came from a cache

REPLICA  ADDRESS  STATE               LAG  REQUESTS  FAILURES  LAST FAILURE
m-0      h:1      healthy               1         3         1  it answered 500
m-1      h:2      starting for 3.0 s    0
";
        let mut page = page;
        page["replicas"]["starting"] = json!(0);
        assert_eq!(one(&page).unwrap(), expected);
    }

    #[test]
    fn what_no_answer_of_a_language_model_said_is_told_as_unknown() {
        let times = json!({ "p50": null, "p99": null });
        let llm = json!({
            "cachedTokens": null,
            "operations": { "chat": {
                "inputTokens": null, "outputTokens": 7.0,
                "timeToFirstTokenSeconds": times, "timePerOutputTokenSeconds": times,
            } },
        });
        let expected = "chat: – in, 7 out; first token p50 – p99 –, each further one p50 – p99 –";
        assert_eq!(tokens(&llm), [expected]);
    }
}

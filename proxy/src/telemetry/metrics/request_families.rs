//! Counts of finished requests as `/metrics` shows them: per model under Tailback's own names, and
//! under the names that Seldon's dashboards use.

use std::sync::atomic::Ordering;

use super::{
    affinity::Preference,
    exposition::Exposition,
    requests::{ByMethod, METHODS, seconds},
    series::Content,
};
use crate::status::{KeyRefusal, Outcome, RetryReason};

type Label<'a> = (&'static str, &'a str);

pub(super) fn render(text: &mut Exposition, content: &Content) {
    outcomes(text, content);
    retries(text, content);
    questions(text, content);
    affinities(text, content);
    keys(text, content);
    codes(text, content);
    latencies(text, content);
    of_models(text, content);
    of_servers(text, content);
}

fn outcomes(text: &mut Exposition, content: &Content) {
    let mut family = text.family(
        "tailback_model_requests_total",
        "counter",
        "Requests that ended, by how they did.",
    );
    for (model, outcomes) in content.outcomes.iter() {
        for outcome in Outcome::ALL {
            let labels = [("model", &**model), ("outcome", outcome.label())];
            family.sample(&labels, outcomes.count(outcome) as f64);
        }
    }
}

fn retries(text: &mut Exposition, content: &Content) {
    let mut family = text.family(
        "tailback_model_retries_total",
        "counter",
        "Requests sent to a replica once more, by reason.",
    );
    for (model, retries) in content.retries.iter() {
        for reason in RetryReason::all() {
            // Reasons that never occurred are left out, as most never do.
            let (count, labels) = (
                retries.count(reason),
                [("model", &**model), ("reason", reason.label())],
            );
            if count > 0 {
                family.sample(&labels, count as f64);
            }
        }
    }
    let mut family = text.family(
        "tailback_model_retries_refused_total",
        "counter",
        "Requests that were not sent once more, as the budget of `retry` was used up.",
    );
    for (model, retries) in content.retries.iter() {
        family.sample(&[("model", &**model)], retries.refused() as f64);
    }
}

fn questions(text: &mut Exposition, content: &Content) {
    let mut family = text.family(
        "tailback_model_questions_total",
        "counter",
        "Questions about a model, such as readiness probes, by who answered. They count as no request.",
    );
    for (model, questions) in content.questions.iter() {
        for (answered_by, count) in questions.counts() {
            let labels = [("model", &**model), ("answered_by", answered_by)];
            family.sample(&labels, count as f64);
        }
    }
}

fn affinities(text: &mut Exposition, content: &Content) {
    let shown = || {
        content
            .affinities
            .iter()
            .filter(|(_, counts)| counts.is_shown())
    };
    let mut family = text.family(
        "tailback_model_affinity_requests_total",
        "counter",
        "Requests that got a replica, by whether it was the one that the prefix or session prefers.",
    );
    for (model, counts) in shown() {
        for preference in Preference::ALL {
            let labels = [("model", &**model), ("choice", preference.label())];
            family.sample(&labels, counts.requests(preference) as f64);
        }
    }
    let mut family = text.family(
        "tailback_model_prompt_bytes_total",
        "counter",
        "Bytes of prompts that were compared with earlier ones, where loadBalancing is prefix.",
    );
    for (model, counts) in shown() {
        family.sample(&[("model", &**model)], counts.bytes().0 as f64);
    }
    let mut family = text.family(
        "tailback_model_prompt_known_bytes_total",
        "counter",
        "Bytes of prompts that the chosen replica had seen, where loadBalancing is prefix.",
    );
    for (model, counts) in shown() {
        family.sample(&[("model", &**model)], counts.bytes().1 as f64);
    }
}

/// Writes nothing if there are no API keys.
fn keys(text: &mut Exposition, content: &Content) {
    if content.keys.iter().next().is_none() {
        return;
    }
    let named = || content.keys.iter().filter(|(key, _)| !key.is_empty());
    let mut family = text.family(
        "tailback_key_requests_total",
        "counter",
        "Requests that ended, of all models, by API key and by how they did.",
    );
    for (key, counts) in named() {
        for outcome in Outcome::ALL {
            let (count, labels) = (
                counts.ended(outcome),
                [("key", &**key), ("outcome", outcome.label())],
            );
            // Outcomes that never occurred are left out. Successes are always written, so that
            // their first increase is visible.
            if count > 0 || outcome == Outcome::Success {
                family.sample(&labels, count as f64);
            }
        }
    }
    let mut family = text.family(
        "tailback_key_requests_in_flight",
        "gauge",
        "Requests inside now, of all models, by API key.",
    );
    for (key, counts) in named() {
        family.sample(&[("key", &**key)], f64::from(counts.in_flight()));
    }
    let mut family = text.family(
        "tailback_key_refusals_total",
        "counter",
        "Requests that were refused for their API key, or as they had none; key \"\": they had no valid one.",
    );
    for (key, counts) in content.keys.iter() {
        for refusal in KeyRefusal::ALL {
            let (count, labels) = (
                counts.refusals(refusal),
                [("key", &**key), ("reason", refusal.label())],
            );
            if count > 0 {
                family.sample(&labels, count as f64);
            }
        }
    }
}

fn codes(text: &mut Exposition, content: &Content) {
    let mut family = text.family(
        "seldon_model_infer_total",
        "counter",
        "Requests that ended, by status of HTTP or gRPC; 499, Canceled: the caller left.",
    );
    for ((model, server), by_method) in content.models.iter() {
        for method in METHODS {
            for (code, count) in by_method.get(method).codes(method) {
                let labels = [
                    ("model", &**model),
                    ("server", &**server),
                    ("method_type", method.label()),
                    ("code", &*code),
                ];
                family.sample(&labels, count as f64);
            }
        }
    }
}

fn latencies(text: &mut Exposition, content: &Content) {
    let mut family = text.family(
        "seldon_model_infer_api_seconds",
        "histogram",
        "Time from a request's arrival to its end, held time included.",
    );
    for (labels, metrics) in rows(content) {
        family.histogram(&labels, &metrics.read());
    }
}

fn of_models(text: &mut Exposition, content: &Content) {
    let mut family = text.family(
        "seldon_model_infer_seconds_total",
        "counter",
        "Time that requests that ended have spent inside, in seconds.",
    );
    for (labels, metrics) in rows(content) {
        family.sample(&labels, metrics.seconds());
    }
}

fn of_servers(text: &mut Exposition, content: &Content) {
    let mut requests = text.family(
        "seldon_model_aggregate_infer_total",
        "counter",
        "Requests that ended, of all models of a server.",
    );
    for (server, by_method) in content.servers.iter() {
        for method in METHODS {
            let labels = [("server", &**server), ("method_type", method.label())];
            let count = by_method.get(method).requests.load(Ordering::Relaxed);
            requests.sample(&labels, count as f64);
        }
    }
    let mut spent = text.family(
        "seldon_model_aggregate_infer_seconds_total",
        "counter",
        "Time that requests that ended have spent inside, of all models of a server, in seconds.",
    );
    for (server, by_method) in content.servers.iter() {
        for method in METHODS {
            let labels = [("server", &**server), ("method_type", method.label())];
            spent.sample(&labels, seconds(&by_method.get(method).nanos));
        }
    }
}

/// The metrics of each model on each server, by method.
fn rows(
    content: &Content,
) -> impl Iterator<Item = ([Label<'_>; 3], &super::requests::MethodMetrics)> {
    content
        .models
        .iter()
        .flat_map(|((model, server), by_method)| {
            METHODS.into_iter().map(move |method| {
                let labels = [
                    ("model", &**model),
                    ("server", &**server),
                    ("method_type", method.label()),
                ];
                (labels, ByMethod::get(by_method, method))
            })
        })
}

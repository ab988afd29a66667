//! The metrics of language models' responses in `/metrics`. Values that never occurred have no
//! series, because most models are no language models.

use super::{
    exposition::{Exposition, Family},
    histogram::Histogram,
    llm::{LlmMetrics, OperationMetrics},
    series::Series,
};
use crate::status::{FinishReason, Operation};

type Models = Series<String, LlmMetrics>;
type Label<'a> = (&'static str, &'a str);

pub(super) fn render(text: &mut Exposition, models: &Models) {
    let mut family = text.family(
        "gen_ai_server_time_to_first_token_seconds",
        "histogram",
        "Time from a request's arrival to the first token of its stream, held time included.",
    );
    each(models, |labels, metrics| {
        write(&mut family, labels, &metrics.to_first_token);
    });
    let mut family = text.family(
        "gen_ai_server_time_per_output_token_seconds",
        "histogram",
        "Mean time from one token of a stream to the next, after the first.",
    );
    each(models, |labels, metrics| {
        write(&mut family, labels, &metrics.per_output_token);
    });
    let mut family = text.family(
        "gen_ai_client_token_usage",
        "histogram",
        "Tokens that went into an answer, and that came out.",
    );
    each(models, |&[model, operation], metrics| {
        let types = [
            ("input", &metrics.input_tokens),
            ("output", &metrics.output_tokens),
        ];
        for (kind, histogram) in types {
            let labels = [model, operation, ("gen_ai_token_type", kind)];
            write(&mut family, &labels, histogram);
        }
    });
    let mut family = text.family(
        "tailback_model_cached_tokens_total",
        "counter",
        "Tokens that went in and came from a replica's cache, as answers say.",
    );
    for (model, metrics) in models.iter() {
        if let Some(tokens) = metrics.cached_tokens() {
            family.sample(&[("model", model)], tokens as f64);
        }
    }
    let mut family = text.family(
        "tailback_model_finish_reasons_total",
        "counter",
        "Why language models stopped generating.",
    );
    for (model, metrics) in models.iter() {
        for reason in FinishReason::ALL {
            let (count, labels) = (
                metrics.finished(reason),
                [("model", &**model), ("reason", reason.label())],
            );
            if count > 0 {
                family.sample(&labels, count as f64);
            }
        }
    }
}

fn each<'a>(models: &'a Models, mut with: impl FnMut(&[Label<'a>; 2], &OperationMetrics)) {
    for (model, metrics) in models.iter() {
        for operation in Operation::ALL {
            let labels = [
                ("model", &**model),
                ("gen_ai_operation_name", operation.label()),
            ];
            with(&labels, metrics.of(operation));
        }
    }
}

fn write(family: &mut Family<'_>, labels: &[Label<'_>], histogram: &Histogram) {
    let reading = histogram.read();
    if reading.count() > 0 {
        family.histogram(labels, &reading);
    }
}

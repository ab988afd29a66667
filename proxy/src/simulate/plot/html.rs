//! The picture as a self-contained page with interactive charts: script and style, from
//! `proxy/page`, are embedded.

use serde_json::{Value, json};
use tailback_scaler::simulate::{Extent, SimulationResult, Slice};

use super::{
    Report,
    series::{Axis, tops},
    summary, title,
};

const SCRIPT: &str = include_str!("../../../page/dist/plot.js");
const STYLE: &str = include_str!("../../../page/dist/plot.css");

/// The page.
pub(super) fn page(report: &Report) -> String {
    // Within a script element, only `<` could end it.
    let data = data(report).to_string().replace('<', "\\u003c");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'\">\n\
         <title>tailback simulate</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main id=\"plot\"></main>\n\
         <noscript>The charts need JavaScript.</noscript>\n\
         <script type=\"application/json\" id=\"data\">{data}</script>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

/// The data for the script.
fn data(report: &Report) -> Value {
    let comparison = &report.comparison;
    let axis = Axis::of(report);
    let concurrency = report.setup.conditions.concurrency;
    let (requests, replicas) = tops(&comparison.outcomes, &comparison.demand, concurrency);
    let demand = axis.columns(comparison.demand.iter().copied());
    let policy = |outcome: &SimulationResult| {
        let columns = |of: fn(&Slice) -> Extent| axis.columns(outcome.timeline.iter().map(of));
        let means = |of| values(&columns(of), |extent| extent.mean);
        let in_flight = columns(|slice| slice.in_flight);
        let demand = in_flight.iter().enumerate().map(|(i, _)| {
            let there = demand.get(i);
            there.map_or(Value::Null, |(_, extent)| json!(extent.most))
        });
        json!({
            "name": outcome.name,
            "summary": summary(report, outcome),
            "time": in_flight.iter().map(|(at, _)| rounded(*at)).collect::<Vec<_>>(),
            "demand": demand.collect::<Vec<_>>(),
            "inFlight": values(&in_flight, |extent| extent.mean),
            "held": values(&columns(|slice| slice.held), |extent| extent.most as f64),
            "desired": means(|slice| slice.desired),
            "ready": means(|slice| slice.ready),
        })
    };
    json!({
        "title": title(report),
        "settings": report.settings(),
        "unit": format!("{} since the first request", axis.name),
        "requests": requests,
        "replicas": replicas,
        "policies": comparison.outcomes.iter().map(policy).collect::<Vec<_>>(),
    })
}

fn values(columns: &[(f64, Extent)], of: fn(&Extent) -> f64) -> Vec<f64> {
    columns
        .iter()
        .map(|(_, extent)| rounded(of(extent)))
        .collect()
}

/// Rounded to the digits that can be seen.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

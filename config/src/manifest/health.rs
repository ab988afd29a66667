//! Reads `outlierDetection`, `healthCheck` and `slowStart`.

use std::time::Duration;

use crate::manifest::fields::{Fields, Value};
use crate::manifest::readiness;
use crate::manifest::runtime::READY;
use crate::variables::NONE;
use crate::{HealthCheck, OutlierDetection, Readiness, SlowStart, number};

/// Reads `outlierDetection`: a map, or `none`. If absent, the defaults apply.
pub(super) fn read_outlier_detection(spec: &Fields<'_>) -> Option<Option<OutlierDetection>> {
    let Some(value) = spec.get("outlierDetection") else {
        return Some(Some(OutlierDetection::default()));
    };
    if !value.is_map() {
        return match value.text()?.as_str() {
            "none" => Some(None),
            _ => {
                value.wrong("{ consecutiveFailures: 5, … }, or none");
                None
            }
        };
    }
    let before = value.failed();
    let fields = value.fields()?;
    let usual = OutlierDetection::default();
    let count =
        |name, usual| read_number(&fields, name, "a whole number from 1", 1..=u32::MAX, usual);
    let read = OutlierDetection {
        consecutive_failures: count("consecutiveFailures", usual.consecutive_failures),
        interval: read_seconds(&fields, "intervalSeconds", usual.interval),
        failure_percentage_threshold: read_number(
            &fields,
            "failurePercentageThreshold",
            "a whole number from 1 to 100",
            1..=100,
            usual.failure_percentage_threshold,
        ),
        failure_percentage_request_volume: count(
            "failurePercentageRequestVolume",
            usual.failure_percentage_request_volume,
        ),
        base_ejection: read_seconds(&fields, "baseEjectionSeconds", usual.base_ejection),
        max_ejection: read_seconds(&fields, "maxEjectionSeconds", usual.max_ejection),
        max_ejection_percent: read_number(
            &fields,
            "maxEjectionPercent",
            "a whole number from 0 to 100",
            0..=100,
            usual.max_ejection_percent,
        ),
    };
    if read.max_ejection < read.base_ejection {
        let (longest, base) = (
            read.max_ejection.as_secs_f64(),
            read.base_ejection.as_secs_f64(),
        );
        value.rule(&format!(
            "maxEjectionSeconds ({longest}) is shorter than baseEjectionSeconds ({base}); expected \
             at least as long"
        ));
    }
    fields.finish();
    (value.failed() == before).then_some(Some(read))
}

/// Reads `healthCheck`: a map, or `none`. If absent, the defaults apply.
pub(super) fn read_health_check(spec: &Fields<'_>) -> Option<Option<HealthCheck>> {
    let Some(value) = spec.get("healthCheck") else {
        return Some(Some(HealthCheck::default()));
    };
    if value.is(NONE) {
        return Some(None);
    }
    if !value.is_map() {
        value.wrong("{ probe: /health, … }, or none");
        return None;
    }
    let before = value.failed();
    let fields = value.fields()?;
    let usual = HealthCheck::default();
    let threshold =
        |name, usual| read_number(&fields, name, "a whole number from 1", 1..=u32::MAX, usual);
    let probe = fields.get("probe").and_then(|value| {
        let probe = readiness::read(&value, READY);
        if let Some(Readiness::Line(_)) = probe {
            value.rule(
                "a line is printed once; expected a path, tcp, grpc, none, or a map without line",
            );
        }
        probe
    });
    let read = HealthCheck {
        probe,
        period: read_seconds(&fields, "periodSeconds", usual.period),
        timeout: read_seconds(&fields, "timeoutSeconds", usual.timeout),
        healthy_threshold: threshold("healthyThreshold", usual.healthy_threshold),
        unhealthy_threshold: threshold("unhealthyThreshold", usual.unhealthy_threshold),
        hang: read_optional_seconds(&fields, "hangSeconds", usual.hang),
        replace_after: read_optional_seconds(&fields, "replaceAfterSeconds", usual.replace_after),
    };
    fields.finish();
    (value.failed() == before).then_some(Some(read))
}

/// Reads `slowStart`: a map, or `none`. If absent, there is no slow start.
pub(super) fn read_slow_start(spec: &Fields<'_>) -> Option<Option<SlowStart>> {
    let Some(value) = spec.get("slowStart").filter(|value| !value.is(NONE)) else {
        return Some(None);
    };
    if !value.is_map() {
        value.wrong("{ windowSeconds: 30, … }, or none");
        return None;
    }
    let before = value.failed();
    let fields = value.fields()?;
    let usual = SlowStart::default();
    let aggression = fields.get("aggression").and_then(|value| {
        let expected = "a number from 0.01 to 100, such as 1.5";
        value.number(expected, |aggression: &f64| {
            (0.01..=100.0).contains(aggression)
        })
    });
    let read = SlowStart {
        window: read_seconds(&fields, "windowSeconds", usual.window),
        aggression_percent: aggression.map_or(usual.aggression_percent, |aggression| {
            (aggression * 100.0).round() as u32
        }),
        min_weight_percent: read_number(
            &fields,
            "minWeightPercent",
            "a whole number from 1 to 100",
            1..=100,
            usual.min_weight_percent,
        ),
    };
    fields.finish();
    (value.failed() == before).then_some(Some(read))
}

/// Reads seconds, or `none`.
fn read_optional_seconds(
    fields: &Fields<'_>,
    name: &'static str,
    usual: Option<Duration>,
) -> Option<Duration> {
    let Some(value) = fields.get(name) else {
        return usual;
    };
    let read = value.text().as_deref().and_then(number::seconds_or_none);
    if read.is_none() {
        value.wrong(number::SECONDS_OR_NONE);
    }
    read.flatten()
}

fn read_number(
    fields: &Fields<'_>,
    name: &'static str,
    expected: &str,
    allowed: std::ops::RangeInclusive<u32>,
    usual: u32,
) -> u32 {
    let value = fields.get(name);
    value
        .and_then(|value: Value<'_>| value.number(expected, |number| allowed.contains(number)))
        .unwrap_or(usual)
}

fn read_seconds(fields: &Fields<'_>, name: &'static str, usual: Duration) -> Duration {
    let value = fields.get(name);
    value
        .and_then(|value| value.seconds_above_zero())
        .unwrap_or(usual)
}

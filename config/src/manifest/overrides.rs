//! Reads `scaling`, `hold`, `includeUsage`, `retry` and `timeouts`. A model, its server or the
//! environment may set them.

use std::time::Duration;

use crate::manifest::fields::{Fields, Value};
use crate::manifest::{hold_classes, retry};
use crate::suggest::hint;
use crate::{
    ObjectLocation, Origin, Overrides, Policy, RateLimit, Setting, TimeoutOverrides, number,
};

/// Reads the settings of a server or model.
pub(super) fn read(
    spec: &Fields<'_>,
    place: &ObjectLocation,
    origin: fn(ObjectLocation) -> Origin,
) -> Overrides {
    let set = Set { place, origin };
    let mut overrides = Overrides::default();
    if let Some(scaling) = spec.get("scaling").and_then(|value| value.fields()) {
        overrides.policy = set.read(&scaling, "policy", policy);
        overrides.lag_threshold = set.read(&scaling, "lagThreshold", Value::count_from_one);
        overrides.inactive = set.read(&scaling, "inactiveSeconds", Value::seconds_above_zero);
        overrides.stability = set.read(&scaling, "stabilitySeconds", Value::seconds);
        overrides.target_wait = set.read(&scaling, "targetWaitSeconds", Value::seconds);
        overrides.up_limit = set.read(&scaling, "scaleUpLimit", limit);
        overrides.down_limit = set.read(&scaling, "scaleDownLimit", limit);
        overrides.dry_run = set.read(&scaling, "dryRun", Value::flag);
        overrides.pin = set.read(&scaling, "pin", Value::flag);
        scaling.finish();
    }
    if let Some(hold) = spec.get("hold").and_then(|value| value.fields()) {
        overrides.queue = set.read(&hold, "queue", Value::count);
        overrides.deadline = set.read(&hold, "seconds", Value::seconds_above_zero);
        overrides.classes = set.read(&hold, "classes", hold_classes::read_classes);
        overrides.fair_by = set.read(&hold, "fairBy", hold_classes::read_fair_by);
        hold.finish();
    }
    overrides.include_usage = set.read(spec, "includeUsage", Value::flag);
    overrides.retry = set.read(spec, "retry", retry::read);
    if let Some(timeouts) = spec.get("timeouts").and_then(|value| value.fields()) {
        let limit = |name| set.read(&timeouts, name, Value::seconds_above_zero);
        overrides.timeouts = TimeoutOverrides {
            connect: limit("connectSeconds"),
            response_header: limit("responseHeaderSeconds"),
            first_byte: limit("firstByteSeconds"),
            stream_idle: limit("streamIdleSeconds"),
            total: set.read(&timeouts, "totalSeconds", seconds_or_none),
        };
        timeouts.finish();
    }
    overrides
}

/// Reads values and attaches their origin.
struct Set<'a> {
    place: &'a ObjectLocation,
    origin: fn(ObjectLocation) -> Origin,
}

impl Set<'_> {
    fn read<'n, T>(
        &self,
        fields: &Fields<'n>,
        name: &'static str,
        read: impl FnOnce(&Value<'n>) -> Option<T>,
    ) -> Option<Setting<T>> {
        let value = fields.get(name)?;
        let place = ObjectLocation {
            line: value.line(),
            ..self.place.clone()
        };
        Some(Setting::new(read(&value)?, (self.origin)(place)))
    }
}

/// Reads seconds, or `none` for no limit.
fn seconds_or_none(value: &Value<'_>) -> Option<Option<Duration>> {
    let limit = value.text().as_deref().and_then(number::seconds_or_none);
    if limit.is_none() {
        value.wrong(number::SECONDS_OR_NONE);
    }
    limit
}

/// Reads `{ replicas, seconds }`, or `none` to override the server's limit.
fn limit(value: &Value<'_>) -> Option<Option<RateLimit>> {
    const EXPECTED: &str = "{ replicas: COUNT, seconds: SECONDS }, or none";
    if !value.is_map() {
        return match value.text()?.as_str() {
            "none" => Some(None),
            _ => {
                value.wrong(EXPECTED);
                None
            }
        };
    }
    let fields = value.fields()?;
    let replicas = fields
        .required("replicas", "a count from 1")
        .and_then(|value| value.count_from_one());
    let within = fields
        .required("seconds", "seconds above 0")
        .and_then(|value| value.seconds_above_zero());
    fields.finish();
    Some(Some(RateLimit {
        replicas: replicas?,
        within: within?,
    }))
}

fn policy(value: &Value<'_>) -> Option<Policy> {
    let text = value.text()?;
    let policy = Policy::parse(&text);
    if policy.is_none() {
        let hint = hint(&text, Policy::ALL.iter().map(|policy| policy.as_str()));
        value.wrong(&format!("{}{hint}", Policy::names()));
    }
    policy
}

//! `scaling` and `hold`: the settings that a model, its server, the environment or nobody may
//! give.

use crate::manifest::fields::{Fields, Value};
use crate::suggest::hint;
use crate::{Origin, Overrides, Place, Policy, Setting};

/// What `scaling` and `hold` of a server or model say.
pub(super) fn read(spec: &Fields<'_>, place: &Place, origin: fn(Place) -> Origin) -> Overrides {
    let set = Set { place, origin };
    let mut overrides = Overrides::default();
    if let Some(scaling) = spec.get("scaling").and_then(|value| value.fields()) {
        overrides.policy = set.read(&scaling, "policy", policy);
        overrides.lag_threshold = set.read(&scaling, "lagThreshold", Value::count_from_one);
        overrides.inactive = set.read(&scaling, "inactiveSeconds", Value::seconds_above_zero);
        overrides.stability = set.read(&scaling, "stabilitySeconds", Value::seconds);
        overrides.dry_run = set.read(&scaling, "dryRun", Value::flag);
        scaling.finish();
    }
    if let Some(hold) = spec.get("hold").and_then(|value| value.fields()) {
        overrides.queue = set.read(&hold, "queue", Value::count);
        overrides.deadline = set.read(&hold, "seconds", Value::seconds_above_zero);
        hold.finish();
    }
    overrides
}

/// Who sets the values.
struct Set<'a> {
    place: &'a Place,
    origin: fn(Place) -> Origin,
}

impl Set<'_> {
    fn read<'n, T>(
        &self,
        fields: &Fields<'n>,
        name: &'static str,
        read: impl FnOnce(&Value<'n>) -> Option<T>,
    ) -> Option<Setting<T>> {
        let value = fields.get(name)?;
        let place = Place {
            line: value.line(),
            ..self.place.clone()
        };
        Some(Setting::new(read(&value)?, (self.origin)(place)))
    }
}

fn policy(value: &Value<'_>) -> Option<Policy> {
    let text = value.text()?;
    let policy = Policy::parse(&text);
    if policy.is_none() {
        let hint = hint(&text, Policy::ALL.iter().map(|policy| policy.as_str()));
        value.wrong(&format!("lag or lag-step{hint}"));
    }
    policy
}

//! Reads a `Host` document.

use std::sync::Arc;

use crate::manifest::fields::{Fields, Value};
use crate::{Device, Env, Host, ObjectLocation, nvidia};

/// Reads the host; errors are noted. If `devices` is absent, the devices are those that
/// `nvidia-smi` lists, provided that it is in the `PATH` of `env`.
pub(super) fn read(spec: &Fields<'_>, place: ObjectLocation, env: &Env) -> Option<Arc<Host>> {
    let before = spec.failed();
    let memory = spec.get("memory").and_then(|value| value.bytes());
    let devices = match spec.get("devices") {
        Some(value) => read_devices(&value)?,
        None => find_devices(spec, env),
    };
    if memory.is_none() && devices.is_empty() && spec.failed() == before {
        spec.rule(
            "found neither memory nor devices, and no nvidia-smi in PATH that lists them, expected at least one: the room \
             that models share",
        );
    }
    (spec.failed() == before).then(|| {
        Arc::new(Host {
            name: place.name.clone(),
            place,
            memory,
            devices,
        })
    })
}

fn find_devices(spec: &Fields<'_>, env: &Env) -> Vec<Device> {
    let found = nvidia::devices(env.get("PATH").unwrap_or_default());
    found
        .unwrap_or_else(|why| {
            spec.rule(&format!(
                "{why}; write devices, or devices: [] if there are none"
            ));
            None
        })
        .unwrap_or_default()
}

fn read_devices(value: &Value<'_>) -> Option<Vec<Device>> {
    let mut devices: Vec<Device> = Vec::new();
    for item in value.items()? {
        let fields = item.fields()?;
        let name = fields.required("name", "the device's name, such as \"0\"");
        let memory = fields
            .required("memory", "the device's memory, such as 24Gi")
            .and_then(|value| value.bytes());
        fields.finish();
        let text = name.as_ref().and_then(Value::text);
        let (Some(name), Some(text), Some(memory)) = (name, text, memory) else {
            continue;
        };
        if text.is_empty() || text.contains([',', '\0', '\n']) {
            name.wrong("a name without commas");
        } else if devices.iter().any(|known| known.name == text) {
            name.wrong("a name that no other device has");
        } else {
            devices.push(Device { name: text, memory });
        }
    }
    Some(devices)
}

//! What a replica runs, in a form that other versions of this program can compare.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tailback_config::{GrpcProbe, HttpProbe, Listener, Model, ProcessSpec, Readiness};

use crate::replica::Devices;

/// The version of the fields. A new field needs no new version if it is omitted where it has its
/// default, because a replica of an older version runs with that default. A changed meaning of a
/// field needs a new version.
const VERSION: u32 = 1;
/// The default of `deviceVariable`.
const DEVICES: &str = "CUDA_VISIBLE_DEVICES";

/// Two replicas with equal descriptions can replace each other: they run the same processes, made
/// ready in the same way.
///
/// A field that this version does not know is kept and compared: where it has its default, it is
/// on neither side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Description {
    version: u32,
    /// By the names of the manifest's fields. Fields with their default are left out.
    #[serde(flatten)]
    fields: BTreeMap<String, Value>,
}

/// What a replica of `model` runs on these devices.
pub(super) fn describe(model: &Model, devices: &Devices) -> Description {
    let fields = model.server.process().map(fields).unwrap_or_default();
    let storage_uri = ("storageUri".to_owned(), json!(model.storage_uri));
    let devices = unless(devices.is_empty(), || json!(devices));
    let devices = ("devices".to_owned(), devices);
    let all = fields.into_iter().chain([storage_uri, devices]);
    Description {
        version: VERSION,
        fields: all.filter(|(_, value)| !value.is_null()).collect(),
    }
}

impl Description {
    /// The replica's devices.
    pub(super) fn devices(&self) -> Devices {
        let names = self.fields.get("devices").and_then(Value::as_array);
        let names = names.into_iter().flatten().filter_map(Value::as_str);
        names.map(str::to_owned).collect()
    }
}

/// The fields of `spec` that affect a running replica; null means the default.
fn fields(spec: &ProcessSpec) -> BTreeMap<String, Value> {
    let ProcessSpec {
        command,
        ready,
        listener,
        // These fields affect how Tailback treats a replica, not the replica itself.
        metrics_path: _,
        drain: _,
        start: _,
        strategy: _,
        stop: _,
        warm_up: _,
        stop_signal,
        stop_command,
        env,
        inherit_env,
        directory,
        user,
        nice,
        open_files,
        memory,
        device_variable,
    } = spec;
    BTreeMap::from([
        ("command".to_owned(), json!(command)),
        ("ready".to_owned(), readiness(ready)),
        (
            "listener".to_owned(),
            match listener {
                Listener::Replica => Value::Null,
                Listener::Any => json!("any"),
            },
        ),
        (
            "stopSignal".to_owned(),
            unless(*stop_signal == "SIGTERM", || json!(stop_signal)),
        ),
        (
            "stopCommand".to_owned(),
            unless(stop_command.is_empty(), || json!(stop_command)),
        ),
        (
            "deviceVariable".to_owned(),
            unless(device_variable == DEVICES, || json!(device_variable)),
        ),
        ("env".to_owned(), unless(env.is_empty(), || json!(env))),
        (
            "inheritEnv".to_owned(),
            unless(inherit_env.is_empty(), || json!(inherit_env)),
        ),
        ("cwd".to_owned(), json!(directory.to_string_lossy())),
        ("user".to_owned(), json!(user)),
        ("nice".to_owned(), json!(nice)),
        ("openFiles".to_owned(), json!(open_files)),
        ("memory".to_owned(), json!(memory)),
    ])
}

fn unless(default: bool, value: impl FnOnce() -> Value) -> Value {
    if default { Value::Null } else { value() }
}

fn readiness(ready: &Readiness) -> Value {
    match ready {
        Readiness::Http(HttpProbe {
            path,
            headers,
            codes,
        }) => json!({ "path": path, "headers": headers, "codes": codes }),
        Readiness::Grpc(GrpcProbe { service }) => json!({ "grpc": service }),
        Readiness::Tcp => json!("tcp"),
        Readiness::Line(pattern) => json!({ "line": pattern.as_str() }),
        Readiness::None => json!("none"),
    }
}

#[cfg(test)]
mod tests {
    use tailback_config::{Env, load_text};

    use super::*;

    /// The description of a model with `process`.
    fn of(process: &str) -> Description {
        let text = format!(
            "apiVersion: tailback.dev/v1alpha1\nkind: Server\nmetadata: {{ name: s }}\n\
             spec: {{ process: {{ command: [/bin/x, '{{port}}'], cwd: /w, {process} }} }}\n---\n\
             apiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: {{ name: m }}\nspec: {{ server: s }}\n"
        );
        let config = load_text("a.yaml".as_ref(), &text, &Env::default()).unwrap();
        describe(&config.models["m"], &Devices::new())
    }

    /// A description as another version of this program has written it.
    fn written(text: &str) -> Description {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_this_version_writes_does_not_change() {
        let plain = r#"{"version":1,"command":["/bin/x","{port}"],"cwd":"/w",
            "ready":{"path":"/v2/health/ready","headers":{},"codes":[]}}"#;
        assert_eq!(of(""), written(plain));
        let full = r#"{"version":1,"command":["/bin/x","{port}"],"cwd":"/w","ready":{"grpc":"a"},
            "listener":"any","stopSignal":"SIGINT","env":{"A":"b"},"inheritEnv":["C"],"user":"nobody",
            "nice":5,"openFiles":64}"#;
        let spec = "ready: { grpc: a }, listener: any, stopSignal: INT, env: { A: b }, inheritEnv: [C], \
                    user: nobody, limits: { nice: 5, openFiles: 64 }";
        assert_eq!(of(spec), written(full));
        let back = serde_json::to_string(&of(spec)).unwrap();
        assert_eq!(written(&back), of(spec));
    }

    #[test]
    fn each_setting_of_a_process_makes_another_and_how_it_is_dealt_with_does_not() {
        let plain = of("");
        for same in [
            "drainSeconds: 5",
            "startSeconds: 5",
            "strategy: recreate",
            "stopSeconds: 5",
            "warmUp: [{ path: / }]",
            "runtime: triton",
            "listener: replica",
            "stopSignal: SIGTERM",
            "env: {}",
        ] {
            assert_eq!(of(same), plain, "{same}");
        }
        for other in [
            "ready: /health",
            "ready: tcp",
            "ready: none",
            "ready: { line: up }",
            "stopSignal: INT",
            "stopCommand: [a]",
            "env: { A: b }",
            "inheritEnv: [A]",
            "user: nobody",
            "limits: { nice: 1 }",
            "limits: { openFiles: 64 }",
            "limits: { memory: 1Gi }",
        ] {
            assert_ne!(of(other), plain, "{other}");
        }
    }

    #[test]
    fn what_only_another_version_knows_is_compared_too() {
        let plain = serde_json::to_value(of("")).unwrap();
        let with = |name: &str, value: Value| {
            let mut changed = plain.clone();
            changed[name] = value;
            serde_json::from_value::<Description>(changed).unwrap()
        };
        assert_ne!(with("seccomp", json!("strict")), of(""), "runs otherwise");
        assert_ne!(with("version", json!(2)), of(""), "means something else");
        let kept = serde_json::to_value(with("seccomp", json!("strict"))).unwrap();
        assert_eq!(
            kept["seccomp"], "strict",
            "also for the version after this one"
        );
    }
}

//! A machine and its models to begin with.

use std::path::Path;

use tailback_config::{Config, Env, load_text};

/// Models on a machine with one device of 24 GiB: the name of each, and its fields beside the server.
pub(super) fn host(models: &[(&str, &str)]) -> Config {
    let mut text = "{ apiVersion: tailback.dev/v1alpha1, kind: Host, metadata: { name: h }, \
         spec: { devices: [{ name: '0', memory: 24Gi }] } }\n---\n\
         { apiVersion: tailback.dev/v1alpha1, kind: Server, metadata: { name: s }, \
         spec: { process: { command: [x, '{port}'] } } }\n"
        .to_owned();
    for (name, fields) in models {
        text += &format!(
            "---\n{{ apiVersion: tailback.dev/v1alpha1, kind: Model, metadata: {{ name: {name} }}, \
             spec: {{ server: s, {fields} }} }}\n"
        );
    }
    load_text(Path::new("a.yaml"), &text, &Env::default()).unwrap()
}

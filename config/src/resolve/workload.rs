//! Checks models against Kubernetes workloads: names must be valid in a cluster, and only one
//! model may set a workload's count.

use std::collections::HashMap;

use crate::manifest::Draft;
use crate::name::{is_label, is_name};
use crate::{Error, KubernetesSpec, Server, WorkloadSource};

use super::rule;

/// For each workload, the model that sets its count.
#[derive(Default)]
pub(super) struct Workloads {
    counted: HashMap<Identity, String>,
}

/// Identifies a workload in the cluster.
#[derive(PartialEq, Eq, Hash)]
struct Identity {
    group: String,
    kind: String,
    namespace: Option<String>,
    name: String,
}

impl Workloads {
    /// Notes errors of `draft` if `server` is a Kubernetes server.
    pub(super) fn add(&mut self, draft: &Draft, server: &Server, errors: &mut Vec<Error>) {
        let Some(pattern) = server.kubernetes() else {
            return;
        };
        let model = &draft.place.name;
        let spec = pattern.of(model);
        check_names(draft, &spec, errors);
        if server.multi_model.is_some() {
            return; // the needs of its models determine the count
        }
        let counts = draft.min.iter().chain(&draft.max).chain(&draft.replicas);
        let Some(count) = counts.min_by_key(|count| count.spot.line) else {
            return;
        };
        let identity = Identity {
            group: spec.group().to_owned(),
            kind: spec.kind,
            namespace: spec.namespace,
            name: spec.name,
        };
        let what = format!("{} {}", identity.kind, identity.name);
        if let Some(first) = self.counted.get(&identity) {
            errors.push(rule(
                &count.spot,
                format!(
                    "model {first} says already how many replicas {what} has; expected \
                     minReplicas, maxReplicas and replicas on one of the models it runs, or \
                     {{model}} in the workload's name, so that each has its own"
                ),
            ));
        } else {
            self.counted.insert(identity, model.clone());
        }
    }
}

/// Checks the names with the model's name filled in.
fn check_names(draft: &Draft, spec: &KubernetesSpec, errors: &mut Vec<Error>) {
    let mut wrong = |what: &str, name: &str, expected: &str| {
        errors.push(rule(
            &draft.spot,
            format!("the {what} would be called {name}; expected {expected}"),
        ));
    };
    if !is_name(&spec.name) {
        let what = spec.kind.as_str();
        let expected = "at most 253 lower-case letters, digits, '-' and '.', as for any object of a \
                        cluster: give the model such a name, and the one that clients ask for in \
                        aliases, or a server of its own";
        wrong(what, &spec.name, expected);
    }
    if let WorkloadSource::Service(service) = &spec.source
        && !is_label(&service.name)
    {
        let expected = "at most 63 lower-case letters, digits and '-', as for any Service: give the \
                        model a shorter name without dots, and the one that clients ask for in \
                        aliases, or a server of its own";
        wrong("Service", &service.name, expected);
    }
}

//! Reports hanging starts in a sentence: how many, for how long, what Tailback does, and where to
//! look. Many orchestrators report no failure in such a case: a pod that stays pending is only
//! late. (Processes are stopped after their `startSeconds`, which is reported as a failure.)

use std::fmt;

use tailback_config::Kind;

use super::*;

/// How long a start may take if no start has been measured yet. Kubernetes calls a rollout stuck
/// after the same time (`progressDeadlineSeconds`).
const UNMEASURED: Duration = Duration::from_secs(600);

/// Replicas that hang while starting: see [`Observation::hangs`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stall {
    starting: u32,
    stalled: Duration,
    start_up: Option<Duration>,
    patience: Duration,
    look_at: String,
    scaled: bool,
}

impl Stall {
    pub(super) fn of(seen: &Observation, model: &Model) -> Option<Self> {
        let patience = match seen.start_up {
            Some(_) => seen.patience(),
            None => UNMEASURED,
        };
        (seen.stalled >= patience).then_some(())?;
        Some(Self {
            starting: seen.starting,
            stalled: seen.stalled,
            start_up: seen.start_up,
            patience,
            look_at: look_at(model)?,
            scaled: model.replicas.scaled,
        })
    }
}

/// Where the operator can find the cause; `None` for processes, whose failures are reported
/// anyway.
fn look_at(model: &Model) -> Option<String> {
    Some(match &model.server.kind {
        Kind::Process(_) => return None,
        Kind::Static(_) => "their endpoints".into(),
        Kind::Kubernetes(spec) => {
            let spec = spec.of(&model.name);
            let namespace = spec.namespace.map(|namespace| namespace + "/");
            let (kind, namespace) = (spec.kind, namespace.unwrap_or_default());
            format!(
                "the events and logs of {kind} {namespace}{} and its pods",
                spec.name
            )
        }
        Kind::Webhook(_) => "the API that starts them".into(),
        Kind::Seldon(_) => "the logs of Seldon's scheduler and agents".into(),
    })
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.starting == 1 { " has" } else { "s have" };
        write!(
            f,
            "{} replica{verb} been starting for {:.0} s without one becoming ready (a start may take {:.0} s: ",
            self.starting,
            self.stalled.as_secs_f64(),
            self.patience.as_secs_f64()
        )?;
        match self.start_up {
            Some(last) => write!(f, "the last one took {:.0} s", last.as_secs_f64())?,
            None => f.write_str("none has been measured yet")?,
        }
        f.write_str("). Tailback keeps waiting for them")?;
        if self.scaled {
            f.write_str(" and asks for at most one more in each such time")?;
        }
        write!(f, "; look at {}", self.look_at)
    }
}

impl ModelController {
    /// Logs once that starts hang, and once that they no longer do.
    pub(super) fn watch_starts(&mut self, seen: &Observation) {
        let model = &self.handle.model;
        let stall = Stall::of(seen, model);
        match (&self.stall, &stall) {
            (None, Some(stall)) => {
                let failure = self.set.failure.as_deref();
                tracing::warn!(model = model.name, failure, "{stall}");
            }
            (Some(_), None) => {
                let (ready, starting) = (seen.ready, seen.starting);
                tracing::info!(
                    model = model.name,
                    ready,
                    starting,
                    "replicas start normally again"
                );
            }
            _ => {}
        }
        self.stall = stall;
    }

    /// What is wrong with the replicas: a rejected scale request, else the orchestrator's
    /// failure, else hanging starts.
    pub(super) fn failure(&self) -> Option<String> {
        let rejected = self.rejected.as_ref();
        let rejected =
            rejected.map(|r| format!("{} replicas were asked for: {}", r.replicas, r.why));
        let failure = rejected.or_else(|| self.set.failure.clone());
        failure.or_else(|| self.stall.as_ref().map(ToString::to_string))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tailback_config::{Env, load_text};

    use super::*;

    fn model(server: &str, replicas: &str) -> Arc<Model> {
        let text = format!(
            "{{ apiVersion: tailback.dev/v1alpha1, kind: Server, metadata: {{ name: s }}, spec: {server} }}\n---\n\
             {{ apiVersion: tailback.dev/v1alpha1, kind: Model, metadata: {{ name: m }}, spec: {{ server: s{replicas} }} }}\n"
        );
        let config = load_text(Path::new("a.yaml"), &text, &Env::default()).unwrap();
        config.models["m"].clone()
    }

    const DEPLOYMENT: &str = "{ kubernetes: { name: \"llm-{model}\", namespace: models, service: { name: \"{model}\" } } }";

    fn stall_text(
        model: &Model,
        starting: u32,
        stalled: u64,
        start_up: Option<u64>,
    ) -> Option<String> {
        let seen = Observation {
            starting,
            stalled: Duration::from_secs(stalled),
            start_up: start_up.map(Duration::from_secs),
            ..Observation::default()
        };
        Stall::of(&seen, model).map(|stall| stall.to_string())
    }

    #[test]
    fn hanging_starts_are_reported_with_numbers_and_where_to_look() {
        let scaled = model(DEPLOYMENT, ", minReplicas: 1");
        assert_eq!(stall_text(&scaled, 2, 149, Some(50)), None);
        assert_eq!(
            stall_text(&scaled, 2, 310, Some(50)).unwrap(),
            "2 replicas have been starting for 310 s without one becoming ready (a start may take 150 s: the last one \
             took 50 s). Tailback keeps waiting for them and asks for at most one more in each such time; look at the \
             events and logs of Deployment models/llm-m and its pods"
        );
        let fixed = model(DEPLOYMENT, ", replicas: 2");
        assert_eq!(stall_text(&fixed, 1, 599, None), None);
        assert_eq!(
            stall_text(&fixed, 1, 600, None).unwrap(),
            "1 replica has been starting for 600 s without one becoming ready (a start may take 600 s: none has \
             been measured yet). Tailback keeps waiting for them; look at the events and logs of Deployment models/llm-m \
             and its pods"
        );
    }

    #[test]
    fn a_process_is_given_up_and_reported_by_whoever_started_it() {
        let command = model("{ process: { command: [server, \"{port}\"] } }", "");
        assert_eq!(stall_text(&command, 1, 1000, Some(1)), None);
    }
}

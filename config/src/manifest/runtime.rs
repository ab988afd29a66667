//! The kinds of model servers that the field `runtime` of a process names, and what it presets.
//!
//! Only what differs from the built-in default is preset. How long requests may take (`timeouts`)
//! and how long replicas drain do not: the defaults are bounds that suit all of these servers.

use std::time::Duration;

use crate::Origin;
use crate::manifest::fields::Fields;
use crate::suggest::hint;

/// The readiness path of the Open Inference Protocol.
pub(super) const READY: &str = "/v2/health/ready";
const HEALTH: &str = "/health";
const METRICS: Option<&str> = Some("/metrics");

/// What a kind of server presets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Preset {
    name: &'static str,
    /// `ready`
    pub ready: &'static str,
    /// `metricsPath`: where it has Prometheus metrics, at the port of its requests.
    pub metrics: Option<&'static str>,
    /// `startSeconds`
    pub start: Duration,
    /// `stopSeconds`
    pub stop: Duration,
}

/// Without `runtime`.
pub(super) const NONE: Preset = Preset {
    name: "oip",
    ready: READY,
    metrics: None,
    start: Duration::from_secs(300),
    stop: Duration::from_secs(10),
};
/// They may fetch tens of gigabytes, and compile for minutes, before they are ready; their workers
/// on devices take a while to end.
const ENGINE: Preset = Preset {
    ready: HEALTH,
    metrics: METRICS,
    start: Duration::from_secs(1800),
    stop: Duration::from_secs(30),
    ..NONE
};

const RUNTIMES: &[Preset] = &[
    NONE,
    // Has its metrics at a port of their own, as Triton.
    Preset {
        name: "mlserver",
        ..NONE
    },
    // Loads its whole repository, and on SIGTERM takes 30 s for requests (`--exit-timeout-secs`).
    Preset {
        name: "triton",
        start: Duration::from_secs(600),
        stop: Duration::from_secs(40),
        ..NONE
    },
    // Reads the weights from disk; has metrics with `--metrics`.
    Preset {
        name: "llama.cpp",
        ready: HEALTH,
        metrics: METRICS,
        start: Duration::from_secs(600),
        ..NONE
    },
    Preset {
        name: "vllm",
        ..ENGINE
    },
    // Has metrics with `--enable-metrics`.
    Preset {
        name: "sglang",
        ..ENGINE
    },
    Preset {
        name: "tgi",
        ..ENGINE
    },
    // Loads models when they are asked for. Has no metrics.
    Preset {
        name: "ollama",
        ready: "/",
        ..NONE
    },
];

/// The preset that the fields of `process` name; `None`: an unknown one.
pub(super) fn read(process: &Fields<'_>) -> Option<&'static Preset> {
    let Some(value) = process.get("runtime") else {
        return Some(&NONE);
    };
    let text = value.text()?;
    let known = RUNTIMES.iter().find(|preset| preset.name == text);
    if known.is_none() {
        let names: Vec<_> = RUNTIMES.iter().map(|preset| preset.name).collect();
        value.wrong(&format!(
            "one of {}{}; for another server leave it out and set ready",
            names.join(", "),
            hint(&text, names.iter().copied())
        ));
    }
    known
}

impl Preset {
    /// What its values come from.
    pub(super) fn origin(&self) -> Origin {
        Origin::Runtime(self.name)
    }
}

//! The kinds of model servers that the field `runtime` of a process names, and what it presets.
//!
//! A preset has only what differs from the built-in default. Time limits of requests (`timeouts`)
//! and of draining have no presets: their defaults suit all of these servers.

use std::time::Duration;

use crate::Origin;
use crate::manifest::fields::Fields;
use crate::suggest::hint;

/// The readiness path of the Open Inference Protocol.
pub(super) const READY: &str = "/v2/health/ready";
const HEALTH: &str = "/health";
const METRICS: Option<&str> = Some("/metrics");

/// The presets of one kind of model server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Preset {
    name: &'static str,
    /// `ready`
    pub ready: &'static str,
    /// `metricsPath`: the path of its Prometheus metrics, on the port that takes its requests.
    pub metrics: Option<&'static str>,
    /// `startSeconds`
    pub start: Duration,
    /// `stopSeconds`
    pub stop: Duration,
}

/// The defaults without `runtime`.
pub(super) const NONE: Preset = Preset {
    name: "oip",
    ready: READY,
    metrics: None,
    start: Duration::from_secs(300),
    stop: Duration::from_secs(10),
};
/// LLM engines may download tens of gigabytes and compile for minutes before they are ready. Their
/// worker processes on devices take a while to end.
const ENGINE: Preset = Preset {
    ready: HEALTH,
    metrics: METRICS,
    start: Duration::from_secs(1800),
    stop: Duration::from_secs(30),
    ..NONE
};

const RUNTIMES: &[Preset] = &[
    NONE,
    // Like Triton, it has its metrics on a separate port.
    Preset {
        name: "mlserver",
        ..NONE
    },
    // It loads its whole repository at the start. On SIGTERM it gives requests 30 s
    // (`--exit-timeout-secs`).
    Preset {
        name: "triton",
        start: Duration::from_secs(600),
        stop: Duration::from_secs(40),
        ..NONE
    },
    // It reads the weights from disk. It has metrics only with `--metrics`.
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
    // It has metrics only with `--enable-metrics`.
    Preset {
        name: "sglang",
        ..ENGINE
    },
    Preset {
        name: "tgi",
        ..ENGINE
    },
    // It loads a model at the first request for it. It has no metrics.
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
    /// The origin of the preset's values.
    pub(super) fn origin(&self) -> Origin {
        Origin::Runtime(self.name)
    }
}

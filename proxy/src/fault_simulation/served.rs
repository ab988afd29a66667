//! The served models: one whose replicas speak HTTP/1.1, and one whose replicas speak HTTP/2.

use std::{path::Path, time::Duration};

use tailback_config::{Env, load_text};

use crate::{net::HttpVersion, simulation::DataPlane};

/// The models.
pub(super) const MODELS: [&str; 2] = ["plain", "multiplexed"];
/// The addresses of their replicas, and the HTTP version of each.
pub(super) const HOSTS: [(&str, HttpVersion); 4] = [
    ("plain-0:80", HttpVersion::Http1),
    ("plain-1:80", HttpVersion::Http1),
    ("multiplexed-0:80", HttpVersion::Http2),
    ("multiplexed-1:80", HttpVersion::Http2),
];
/// Requests that a replica takes at once.
pub(super) const CONCURRENCY: u32 = 2;

const MANIFEST: &str = r#"
apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: { name: plain }
spec: { static: { endpoints: ["http://plain-0:80", "http://plain-1:80"] }, concurrency: 2 }
---
apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: { name: multiplexed }
spec:
  static: { endpoints: ["http://multiplexed-0:80", "http://multiplexed-1:80"] }
  concurrency: 2
  protocol: h2c
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: plain }
spec: { server: plain, replicas: 2, hold: { seconds: 6, queue: 40 }, timeouts: TIMEOUTS }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: multiplexed }
spec: { server: multiplexed, replicas: 2, hold: { seconds: 6, queue: 40 }, timeouts: TIMEOUTS }
"#;
const TIMEOUTS: &str = "{ connectSeconds: 1, responseHeaderSeconds: 5, firstByteSeconds: 5, \
    streamIdleSeconds: 5, totalSeconds: 20 }";
const VARIABLES: [(&str, &str); 5] = [
    ("TAILBACK_WORKERS", "1"),
    ("TAILBACK_MEMORY_MAX", "none"),
    ("TAILBACK_HEADER_TIMEOUT_SECONDS", "3"),
    ("TAILBACK_BODY_TIMEOUT_SECONDS", "5"),
    ("TAILBACK_KEEP_ALIVE_SECONDS", "20"),
];
/// The longest time of a request within all of these limits, with some to spare: its header, the
/// waits for its body, and the total time of a request, the last part of which may begin with the
/// last byte of the body.
pub(super) const WORST: Duration = Duration::from_secs(45);

/// A data plane that serves these models, without replicas.
pub(super) fn data_plane() -> DataPlane {
    let manifest = MANIFEST.replace("TIMEOUTS", TIMEOUTS);
    let env: Env = VARIABLES.into_iter().collect();
    let config = load_text(Path::new("simulated.yaml"), &manifest, &env).unwrap();
    DataPlane::new(&config)
}

/// Gives `model` new replicas on all of its hosts, or none.
pub(super) fn set_replicas(data_plane: &DataPlane, model: &'static str, some: bool) {
    let hosts = HOSTS.iter().map(|(host, _)| *host);
    let hosts: Vec<_> = hosts
        .filter(|host| some && host.starts_with(model))
        .collect();
    data_plane.set_replicas(model, &hosts, CONCURRENCY);
}

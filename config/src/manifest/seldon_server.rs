//! Reads a `Server` document of Seldon Core 2. It has the number of replicas and their
//! capabilities; the `ServerConfig` that it names says how they are run.

use crate::manifest::fields::{Fields, Located, Value};
use crate::{FieldLocation, ObjectLocation};

/// Fields without effect: they describe Seldon's own pods.
const UNUSED: &[&str] = &[
    "deploymentStrategy",
    "disableAutoUpdate",
    "imageOverrides",
    "statefulSetPersistentVolumeClaimRetentionPolicy",
];

/// Seldon's own containers beside the model server.
const SIDECARS: [&str; 2] = ["agent", "rclone"];

/// A server of Seldon's, before its `ServerConfig` is found.
#[derive(Debug)]
pub(crate) struct SeldonServer {
    pub place: ObjectLocation,
    /// The location of `spec`, for errors that are about no single field.
    pub spot: FieldLocation,
    /// The name of the `ServerConfig`.
    pub config: Located<String>,
    /// Replaces the capabilities of the `ServerConfig`.
    pub capabilities: Option<Vec<String>>,
    /// Is added to the capabilities.
    pub extra: Vec<String>,
    pub min: Option<u32>,
    pub max: Option<u32>,
    pub replicas: Option<u32>,
    /// Bytes of memory of the model server's container, if `podSpec` sets them.
    pub memory: Option<u64>,
}

/// Reads the server; errors are noted.
pub(super) fn read(spec: &Fields<'_>, place: ObjectLocation) -> Option<SeldonServer> {
    let before = spec.failed();
    let config = spec
        .required(
            "serverConfig",
            "the name of a ServerConfig, which says how replicas are run",
        )
        .and_then(|value| value.text().map(|name| value.at(name)));
    let words = |name| spec.get(name).and_then(|value| value.words());
    let capabilities = words("capabilities");
    let extra = words("extraCapabilities").unwrap_or_default();
    // As in Seldon, a bound of 0 means that there is none.
    let bound = |name| {
        let count = spec.get(name).and_then(|value| value.count());
        count.filter(|count| *count > 0)
    };
    let (min, max) = (bound("minReplicas"), bound("maxReplicas"));
    let replicas = spec
        .get("replicas")
        .and_then(|value| value.count_from_one());
    let server = config.as_ref().map_or("", |config| &config.value);
    let memory = spec
        .get("podSpec")
        .and_then(|value| read_memory(&value, server));
    spec.ignore(UNUSED);
    let config = config?;
    (spec.failed() == before).then_some(SeldonServer {
        spot: spec.spot(),
        place,
        config,
        capabilities,
        extra,
        min,
        max,
        replicas: replicas.map(u32::from),
        memory,
    })
}

/// Reads the memory of the model server's container from a `podSpec`: its request, or else its
/// limit, which Kubernetes also uses as request. The container is the one named like the
/// `ServerConfig`, or `server`, or else the first that is not one of Seldon's own.
fn read_memory(value: &Value<'_>, server: &str) -> Option<u64> {
    let containers = value.fields()?.get("containers")?.items()?;
    let mut of_others = None;
    for container in containers {
        let fields = container.fields()?;
        let name = fields.get("name").and_then(|value| value.text());
        let name = name.unwrap_or_default();
        if SIDECARS.contains(&name.as_str()) {
            continue;
        }
        let memory = read_resources(&fields);
        if name == server {
            return memory;
        }
        of_others = of_others.or(memory);
    }
    of_others
}

fn read_resources(container: &Fields<'_>) -> Option<u64> {
    let resources = container.get("resources")?.fields()?;
    let bytes = |name| resources.get(name)?.fields()?.get("memory")?.bytes();
    bytes("requests").or_else(|| bytes("limits"))
}

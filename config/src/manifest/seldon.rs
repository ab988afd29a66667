//! Reads the field `seldon` of a server: the scheduler of Seldon Core 2 and the addresses of its
//! mesh.

use crate::manifest::fields::Value;
use crate::manifest::static_endpoints;
use crate::seldon::SeldonSpec;
use crate::{Endpoint, ObjectLocation, UpstreamTls};

/// The scheduler's Service and ports in Seldon's own charts.
const HOST: &str = "seldon-scheduler";
const STATUS_PORT: u16 = 9004;
const AGENT_PORT: u16 = 9005;

/// Reads the scheduler; errors are noted.
pub(super) fn read(value: &Value<'_>, place: &ObjectLocation) -> Option<SeldonSpec> {
    let fields = value.fields()?;
    let before = fields.failed();
    let address = |name, default: String| match fields.get(name) {
        Some(value) => read_address(&value),
        None => Some(default),
    };
    let scheduler = address("scheduler", format!("{HOST}:{STATUS_PORT}"));
    let host = scheduler.as_ref().map_or(HOST, |address| host_of(address));
    let agent = address("agent", format!("{host}:{AGENT_PORT}"));
    let list = fields.required(
        "endpoints",
        "a list of addresses such as http://seldon-mesh:80",
    );
    let endpoints = list.and_then(|list| static_endpoints::read_endpoints(&list));
    let tls = fields.get("tls").map(|value| {
        if endpoints.iter().flatten().any(|one| !one.secure) {
            value.rule("the endpoints are http; expected https endpoints, or no tls");
        }
        static_endpoints::read_tls(&value, place)
    });
    let went_well = fields.failed() == before;
    fields.finish();
    let endpoints = endpoints?;
    let tls = match tls {
        Some(tls) => Some(tls?),
        None => endpoints
            .iter()
            .any(|one| one.secure)
            .then(UpstreamTls::default),
    };
    went_well.then_some(SeldonSpec {
        scheduler: scheduler?,
        agent: agent?,
        endpoints,
        tls,
    })
}

/// Reads `host:port`, without a scheme: the scheduler is reached in clear text.
fn read_address(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let endpoint = Endpoint::parse(&format!("http://{text}")).filter(|_| {
        let (_, port) = text.rsplit_once(':').unwrap_or_default();
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    if endpoint.is_none() {
        value.wrong("host:port, such as seldon-scheduler.seldon-mesh:9004, without a scheme");
    }
    endpoint.map(|endpoint| endpoint.authority)
}

fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

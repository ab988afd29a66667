//! Reads the field `webhook` of a server: the request that scales, and the request that reads the
//! state.

use std::time::Duration;

use http::{Method, Uri};

use crate::manifest::call::{read_body, read_headers, read_template};
use crate::manifest::fields::{Fields, Value};
use crate::manifest::static_endpoints;
use crate::template::Escape;
use crate::webhook::{CallBody, CallTarget, ScaleCall, StateCall, WebhookSpec};
use crate::{Endpoint, Env, ObjectLocation, Template, UpstreamTls};

const TIMEOUT: Duration = Duration::from_secs(10);
const PERIOD: Duration = Duration::from_secs(5);
const METHODS: &[Method] = &[Method::POST, Method::PUT, Method::PATCH];

/// Reads the webhook; errors are noted.
pub(super) fn read(value: &Value<'_>, place: &ObjectLocation, env: &Env) -> Option<WebhookSpec> {
    let fields = value.fields()?;
    let before = fields.failed();
    let scale = fields
        .required(
            "scale",
            "a map with the url of the request that asks for replicas",
        )
        .and_then(|value| read_scale(&value, env));
    let state = fields.get("state").map(|value| read_state(&value, env));
    let endpoints = fields.get("endpoints").map(|list| {
        let endpoints = static_endpoints::read_endpoints(&list);
        endpoints.unwrap_or_default()
    });
    let tls_value = fields.get("tls");
    let tls = tls_value
        .as_ref()
        .map(|value| static_endpoints::read_tls(value, place));
    let endpoints = match endpoints {
        Some(endpoints) => endpoints,
        None => {
            let has_endpoints = state
                .as_ref()
                .is_some_and(|state| state.as_ref().is_none_or(|state| state.endpoints.is_some()));
            if !has_endpoints {
                fields.rule(
                    "found neither `endpoints` nor `state.endpoints`, expected one of them: where \
                     the replicas take requests",
                );
            }
            Vec::new()
        }
    };
    check_tls(tls_value.as_ref(), &endpoints);
    let went_well = fields.failed() == before;
    fields.finish();
    let tls = match tls {
        Some(tls) => Some(tls?),
        None => endpoints
            .iter()
            .any(|one| one.secure)
            .then(UpstreamTls::default),
    };
    let state = match state {
        Some(state) => Some(state?),
        None => None,
    };
    went_well.then_some(WebhookSpec {
        scale: scale?,
        state,
        endpoints,
        tls,
    })
}

fn check_tls(value: Option<&Value<'_>>, endpoints: &[Endpoint]) {
    if let Some(value) = value
        && endpoints.iter().any(|one| !one.secure)
    {
        value.rule("the endpoints are http; expected https endpoints, or no tls");
    }
}

// === scale ===

fn read_scale(value: &Value<'_>, env: &Env) -> Option<ScaleCall> {
    let fields = value.fields()?;
    let method = fields
        .get("method")
        .map_or(Some(Method::POST), |value| read_method(&value));
    let target = read_target(&fields, env);
    let body = fields
        .get("body")
        .map_or(Some(CallBody::None), |value| read_body(&value, env));
    fields.finish();
    let call = ScaleCall {
        method: method?,
        target: target?,
        body: body?,
    };
    if !call.templates().any(Template::has_replicas) {
        value.rule(
            "found no {replicas} in url, headers or body, expected it in one of them: it stands \
             for the count that is asked for",
        );
        return None;
    }
    Some(call)
}

fn read_method(value: &Value<'_>) -> Option<Method> {
    let text = value.text()?;
    let found = METHODS.iter().find(|method| method.as_str() == text);
    if found.is_none() {
        value.wrong("POST, PUT or PATCH");
    }
    found.cloned()
}

// === state ===

fn read_state(value: &Value<'_>, env: &Env) -> Option<StateCall> {
    let fields = value.fields()?;
    let target = read_target(&fields, env);
    let before = fields.failed();
    let pointer = |name| {
        let value = fields.get(name)?;
        read_pointer(&value, env)
    };
    let (desired, ready, endpoints) = (pointer("desired"), pointer("ready"), pointer("endpoints"));
    let period = fields
        .get("periodSeconds")
        .map_or(Some(PERIOD), |value| value.seconds_above_zero());
    let went_well = fields.failed() == before;
    fields.finish();
    let target = target?;
    if target.url.has_replicas() {
        value.rule("found {replicas} in url: the state is read whatever count is asked for");
        return None;
    }
    if went_well && desired.is_none() && ready.is_none() && endpoints.is_none() {
        value.rule(
            "found none of desired, ready and endpoints, expected at least one of them: where in \
             the answer to look",
        );
        return None;
    }
    went_well.then_some(StateCall {
        target,
        desired,
        ready,
        endpoints,
        period: period?,
    })
}

/// Reads a JSON pointer (RFC 6901), which may contain `{model}`.
fn read_pointer(value: &Value<'_>, env: &Env) -> Option<Template> {
    let text = value.text()?;
    let whole = text.is_empty() || text.starts_with('/');
    let escapes = text
        .split('~')
        .skip(1)
        .all(|rest| rest.starts_with(['0', '1']));
    if !whole || !escapes || text.contains("{replicas}") || text.contains("${") {
        value.wrong(
            "a JSON pointer such as /status/replicas (with ~1 for a / in a name, and ~0 for a ~)",
        );
        return None;
    }
    Template::parse(&text, Escape::PointerToken, env).ok()
}

// === both ===

fn read_target(fields: &Fields<'_>, env: &Env) -> Option<CallTarget> {
    let url = fields
        .required("url", "an address such as http://api:8080/scale/{model}")
        .and_then(|value| read_url(&value, env));
    let headers = fields
        .get("headers")
        .map_or_else(|| Some(Vec::new()), |value| read_headers(&value, env));
    let timeout = fields
        .get("timeoutSeconds")
        .map_or(Some(TIMEOUT), |value| value.seconds_above_zero());
    Some(CallTarget {
        url: url?,
        headers: headers?,
        timeout: timeout?,
    })
}

/// Reads a URL. Errors do not show it, because it may contain a secret.
fn read_url(value: &Value<'_>, env: &Env) -> Option<Template> {
    const EXPECTED: &str = "expected http://… or https://… with a host, an optional port and a path, \
                            no user and no fragment";
    let template = read_template(value, Escape::PathSegment, env)?;
    let filled = template.fill("m", 0);
    let uri = filled.parse::<Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && !uri
                .authority()
                .is_some_and(|all| all.as_str().contains('@'))
    });
    if uri.is_none() || filled.contains('#') {
        value.rule(&format!("no address a request could go to, {EXPECTED}"));
        return None;
    }
    Some(template)
}

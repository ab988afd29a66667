//! Reads the field `warmUp` of a process: the requests that a replica answers before it takes
//! others.

use std::time::Duration;

use http::Method;

use crate::manifest::call::{read_body, read_headers, read_template};
use crate::manifest::fields::Value;
use crate::template::Escape;
use crate::{CallBody, Env, Template, WarmUp};

const TIMEOUT: Duration = Duration::from_secs(60);
const METHODS: &[Method] = &[Method::GET, Method::POST, Method::PUT];
/// The largest `count`.
const MOST: u32 = 1_000;

/// Reads a list of requests; errors are noted.
pub(super) fn read(value: &Value<'_>, env: &Env) -> Option<Vec<WarmUp>> {
    let items = value.items()?;
    let requests: Vec<_> = items
        .iter()
        .filter_map(|item| read_one(item, env))
        .collect();
    (requests.len() == items.len()).then_some(requests)
}

fn read_one(value: &Value<'_>, env: &Env) -> Option<WarmUp> {
    let fields = value.fields()?;
    let body = fields
        .get("body")
        .map_or(Some(CallBody::None), |value| read_body(&value, env));
    let method = fields.get("method").map_or_else(
        || {
            Some(match body {
                Some(CallBody::None) => Method::GET,
                _ => Method::POST,
            })
        },
        |value| read_method(&value),
    );
    let path = fields
        .required("path", "a path such as /v1/chat/completions")
        .and_then(|value| read_path(&value, env));
    let headers = fields
        .get("headers")
        .map_or_else(|| Some(Vec::new()), |value| read_headers(&value, env));
    let count = fields.get("count").map_or(Some(1), |value| {
        value.number("a whole number from 1 to 1000", |count: &u32| {
            (1..=MOST).contains(count)
        })
    });
    let timeout = fields
        .get("timeoutSeconds")
        .map_or(Some(TIMEOUT), |value| value.seconds_above_zero());
    fields.finish();
    Some(WarmUp {
        method: method?,
        path: path?,
        headers: headers?,
        body: body?,
        count: count?,
        timeout: timeout?,
    })
}

fn read_method(value: &Value<'_>) -> Option<Method> {
    let text = value.text()?;
    let found = METHODS.iter().find(|method| method.as_str() == text);
    if found.is_none() {
        value.wrong("GET, POST or PUT");
    }
    found.cloned()
}

fn read_path(value: &Value<'_>, env: &Env) -> Option<Template> {
    let template = read_template(value, Escape::PathSegment, env)?;
    let filled = template.fill("m", 0);
    let fits = filled.starts_with('/')
        && filled
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !fits {
        value.rule("no path of a request, expected one such as /v1/chat/completions");
        return None;
    }
    Some(template)
}

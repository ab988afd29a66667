//! Reads header fields and bodies (text or JSON) of requests that Tailback itself sends, with
//! placeholders.

use http::{HeaderName, HeaderValue, header};

use crate::manifest::fields::Value;
use crate::template::Escape;
use crate::webhook::{CallBody, Json};
use crate::yaml::Data;
use crate::{Env, Template};

/// Reads a body: a map or list is JSON, anything else a text.
pub(super) fn read_body(value: &Value<'_>, env: &Env) -> Option<CallBody> {
    match value.data() {
        Data::List(_) | Data::Map(_) => read_json(value, env).map(CallBody::Json),
        Data::Plain(_) | Data::Quoted(_) => {
            read_template(value, Escape::Nothing, env).map(CallBody::Text)
        }
    }
}

fn read_json(value: &Value<'_>, env: &Env) -> Option<Json> {
    Some(match value.data() {
        Data::List(_) => {
            let items = value.items()?;
            let read: Vec<_> = items.iter().filter_map(|v| read_json(v, env)).collect();
            (read.len() == items.len()).then_some(Json::List(read))?
        }
        Data::Map(_) => {
            let entries = value.entries()?;
            let read: Vec<_> = entries
                .iter()
                .filter_map(|(name, v)| Some(((*name).to_owned(), read_json(v, env)?)))
                .collect();
            (read.len() == entries.len()).then_some(Json::Map(read))?
        }
        Data::Plain(text) => match plain(text) {
            Some(value) => Json::Plain(value),
            None => Json::Text(read_template(value, Escape::Nothing, env)?),
        },
        Data::Quoted(_) => Json::Text(read_template(value, Escape::Nothing, env)?),
    })
}

/// Reads an unquoted YAML scalar as a JSON value (number, boolean, null); `None`: it is text.
fn plain(text: &str) -> Option<serde_json::Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Some(serde_json::Value::Null),
        "true" | "True" | "TRUE" => Some(true.into()),
        "false" | "False" | "FALSE" => Some(false.into()),
        _ => serde_json::from_str(text)
            .ok()
            .filter(serde_json::Value::is_number),
    }
}

/// Reads a text with placeholders.
pub(super) fn read_template(value: &Value<'_>, escape: Escape, env: &Env) -> Option<Template> {
    match Template::parse(&value.text()?, escape, env) {
        Ok(template) => Some(template),
        Err(why) => {
            value.rule(&why);
            None
        }
    }
}

/// Reads an API key that is sent as a header. It is secret: it must come from a variable, and
/// errors do not show it.
pub(super) fn read_key(value: &Value<'_>, env: &Env) -> Option<Template> {
    let key = read_template(value, Escape::Nothing, env)?;
    if !key.has_variable() || key.has_model() || key.has_replicas() {
        value.rule(
            "expected a variable that has the key, such as ${VLLM_KEY}, and no other placeholder: a \
             key is a secret, which does not belong into manifests",
        );
        return None;
    }
    let filled = key.fill("", 0);
    if filled.is_empty() || !filled.bytes().all(|byte| byte.is_ascii_graphic()) {
        value.rule("no key: expected visible ASCII characters, without spaces");
        return None;
    }
    Some(key)
}

/// Reads a map of header fields.
pub(super) fn read_headers(value: &Value<'_>, env: &Env) -> Option<Vec<(HeaderName, Template)>> {
    let entries = value.entries()?;
    let headers: Vec<_> = entries
        .iter()
        .filter_map(|(name, value)| read_header(name, value, env))
        .collect();
    (headers.len() == entries.len()).then_some(headers)
}

/// Reads a header field. Errors do not show its value, because it may be a secret.
fn read_header(name: &str, value: &Value<'_>, env: &Env) -> Option<(HeaderName, Template)> {
    let Ok(name) = name.parse::<HeaderName>() else {
        value.rule("no name of a header: letters, digits and '-'");
        return None;
    };
    if [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
    ]
    .contains(&name)
    {
        value.rule("this header is set by itself; remove it");
        return None;
    }
    let template = read_template(value, Escape::Nothing, env)?;
    if HeaderValue::from_str(&template.fill("m", 0)).is_err() {
        value.rule("no value of a header: visible ASCII and spaces, without line breaks");
        return None;
    }
    Some((name, template))
}

//! Reads a readiness check: when a replica may take requests.

use std::collections::BTreeMap;

use crate::manifest::fields::{Fields, Value};
use crate::variables::NONE;
use crate::{GrpcProbe, HttpProbe, LinePattern, Readiness};

/// Reads a path, `tcp`, `grpc`, `none`, or a map. A map for HTTP without a path gets the path
/// `default`.
pub(super) fn read(value: &Value<'_>, default: &str) -> Option<Readiness> {
    if value.is("tcp") {
        return Some(Readiness::Tcp);
    }
    if value.is("grpc") {
        let service = String::new();
        return Some(Readiness::Grpc(GrpcProbe { service }));
    }
    if value.is(NONE) {
        return Some(Readiness::None);
    }
    if !value.is_map() {
        return read_path(
            value,
            "a path such as /v2/health/ready, or tcp, grpc or none",
        )
        .map(|path| Readiness::path(&path));
    }
    let fields = value.fields()?;
    let (grpc, line) = (fields.get("grpc"), fields.get("line"));
    let http = read_http(&fields, default);
    let of_http = ["path", "headers", "codes"].map(|name| fields.get(name));
    fields.finish();
    let kinds = [&grpc, &line].into_iter().flatten().count();
    if kinds + usize::from(of_http.iter().any(Option::is_some)) > 1 {
        value.rule(
            "found several kinds of probe, expected one: path, with headers and codes, or grpc, or line",
        );
        return None;
    }
    match (grpc, line) {
        (Some(grpc), _) => read_service(&grpc),
        (None, Some(line)) => read_line(&line),
        (None, None) => http,
    }
}

/// Reads the fields of a probe by HTTP.
fn read_http(fields: &Fields<'_>, default: &str) -> Option<Readiness> {
    let path = fields.get("path").map_or_else(
        || Some(default.to_owned()),
        |value| read_path(&value, "a path such as /v2/health/ready"),
    );
    let headers = fields
        .get("headers")
        .map_or_else(|| Some(BTreeMap::new()), |value| read_headers(&value));
    let codes = fields
        .get("codes")
        .map_or_else(|| Some(Vec::new()), |value| read_codes(&value));
    Some(Readiness::Http(HttpProbe {
        path: path?,
        headers: headers?,
        codes: codes?,
    }))
}

/// Reads the name of a gRPC service.
fn read_service(value: &Value<'_>) -> Option<Readiness> {
    let service = value.text()?;
    if !service.bytes().all(|byte| byte.is_ascii_graphic()) {
        value.wrong("the name of a gRPC service, such as inference.GRPCInferenceService, or \"\"");
        return None;
    }
    Some(Readiness::Grpc(GrpcProbe { service }))
}

/// Reads a regular expression for a line of the output.
fn read_line(value: &Value<'_>) -> Option<Readiness> {
    let text = value.text()?;
    if text.is_empty() {
        value.wrong("a part of the line that the command prints once it is ready");
        return None;
    }
    match LinePattern::parse(&text) {
        Ok(pattern) => Some(Readiness::Line(pattern)),
        Err(error) => {
            // The last line of the message is the reason; the lines before it repeat the
            // expression.
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default();
            value.rule(&format!(
                "found no regular expression: {}; write \\ before ( ) [ ] {{ }} . * + ? | ^ $ that stand for themselves",
                why.trim_start_matches("error: ")
            ));
            None
        }
    }
}

/// Reads the path of an HTTP request.
pub(super) fn read_path(value: &Value<'_>, expected: &str) -> Option<String> {
    let path = value.text()?;
    if path.starts_with('/')
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
    {
        return Some(path);
    }
    value.wrong(expected);
    None
}

fn read_headers(value: &Value<'_>) -> Option<BTreeMap<String, String>> {
    let entries = value.entries()?;
    let mut headers = BTreeMap::new();
    for (name, value) in &entries {
        let Some(text) = value.text() else { continue };
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            value.rule("the name of a header field has letters, digits and - in it");
        } else if ["host", "connection", "content-length", "transfer-encoding"]
            .contains(&name.to_ascii_lowercase().as_str())
        {
            value.rule("this header field is not for a probe to set; remove it");
        } else if !text
            .bytes()
            .all(|byte| byte == b'\t' || (b' '..0x7f).contains(&byte))
        {
            value.wrong("visible ASCII characters and spaces");
        } else {
            headers.insert((*name).to_owned(), text);
        }
    }
    (headers.len() == entries.len()).then_some(headers)
}

fn read_codes(value: &Value<'_>) -> Option<Vec<u16>> {
    let items = value.items()?;
    if items.is_empty() {
        value.wrong("a list of statuses, such as [200, 204]");
        return None;
    }
    let code = |item: &Value<'_>| {
        item.number("a status from 200 to 599", |code: &u16| {
            (200..=599).contains(code)
        })
    };
    let codes: Vec<_> = items.iter().filter_map(code).collect();
    (codes.len() == items.len()).then_some(codes)
}

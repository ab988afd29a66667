//! Replaces the model's name in a request by the one that its replicas know: in the header, path,
//! query and body.

use std::ops::Range;

use http::{
    HeaderValue,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
};
use memchr::memmem;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tailback_config::{Model, Replication, ResponseModel, path_segment};

use super::read_model::BodyReader;
use crate::{
    exchange::body::PeekableBody,
    message::{HeaderMap, RequestParts},
    models::{Known, WorkerRoutes},
    protocol::{
        api::{Match, ModelIn},
        error::ProxyError,
        model_name::{self, MODEL_HEADER, is_version},
        peek::{self, Decoder, Fault, Format, Found, MessageCoding, Rewriter},
    },
};

/// Where a request names its model.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Its byte range in the path.
    pub path: Option<Range<usize>>,
    /// Its byte range in the query.
    pub query: Option<Range<usize>>,
    /// Its encoding and place in the body.
    pub body: Option<(Format, Found)>,
    /// Whether the body was scanned for it.
    pub body_read: bool,
}

impl Names {
    /// The name to put into the response; `None` if the replica's is forwarded.
    pub(super) fn asked(&self, model: &Model) -> Option<Box<str>> {
        if model.response_model == ResponseModel::Replica {
            return None;
        }
        let in_body = self.body.as_ref().map(|(_, found)| &found.name);
        Some(in_body.unwrap_or(&model.name).as_str().into())
    }

    /// Whether, in `part` of the path, the name is followed by nothing but a version.
    pub(super) fn is_whole(&self, path: &str, part: &Range<usize>) -> bool {
        self.path
            .as_ref()
            .is_none_or(|name| is_version(&path[name.end..part.end]))
    }
}

/// Replaces the names of `known` in the request, if its replicas know another name.
///
/// If a replica also serves other models, the request was counted and authorised for this one, and must
/// not select another. So a name of another model beside that in the header is refused. Where API keys
/// say who may ask for what, or the server is told which models to load, any other name is replaced.
pub(super) async fn rename(
    table: &WorkerRoutes,
    head: &mut RequestParts,
    found: &Match,
    reader: &mut BodyReader<'_, '_>,
    known: Known,
    mut names: Names,
) -> Result<(), ProxyError> {
    let config = &known.model.model.config;
    let alias_for = (!known.is_own_name).then_some(&config.name);
    let by_header = names.path.is_none() && names.query.is_none() && names.body.is_none();
    // Static servers may serve more models than are configured.
    let has_keys = table.keys.is_some() && config.server.replication() == Replication::Shared;
    let is_strict = has_keys || config.server.multi_model.is_some();
    let is_checked = by_header && (is_strict || known.model.model.has_neighbours);
    let same = (by_header && is_strict).then_some(&config.name);
    let name = config.upstream_name.as_ref().or(alias_for).or(same);
    if let ModelIn::Message(field) = model_in(found)
        && is_strict
        && (by_header || table.keys.is_some())
    {
        // Every message names a model: none is waited for here, and each is compared as it passes.
        let name = name.unwrap_or(&config.name);
        let read = names.body.as_ref().map(|(_, found)| found);
        in_messages(head, reader.body, field, (config, read), name);
        in_head(head, &Names::default(), name);
        return Ok(());
    }
    if !names.body_read && (name.is_some() || is_checked && !found.api.is_grpc()) {
        // The header named the model. If another place names it, too, that name is replaced as well.
        names.body = match read_other(head, found, reader, is_strict && by_header).await {
            // Where names are only compared, what cannot be read is the replica's business.
            Err(ProxyError::Unnamed(fault)) if name.is_none() && fault != Fault::Twice => None,
            read => read?,
        };
        if names.query.is_none() && (matches!(model_in(found), ModelIn::Query) || is_checked) {
            let named = model_name::in_query(head.uri.query().unwrap_or_default())?;
            names.query = named.map(|(at, _)| at);
        }
    }
    if names.path.is_none() && !found.name.is_empty() {
        let part = &head.uri.path()[found.name.clone()];
        let length = table.model_in_path(part).map(|(_, length)| length);
        let length = length.unwrap_or_else(|_| part.split('/').next().map_or(0, str::len));
        names.path = Some(found.name.start..found.name.start + length);
    }
    if is_checked {
        compare(table, &known, head, &names)?;
    }
    let Some(name) = name else { return Ok(()) };
    if let Some((format, found)) = &names.body {
        in_body(head, reader.body, *format, found, config, name)?;
    }
    in_head(head, &names, name);
    Ok(())
}

/// Where requests of this kind name their model.
fn model_in(found: &Match) -> ModelIn {
    let model_in = found.route.and_then(|route| route.model_in());
    model_in.unwrap_or(ModelIn::Path)
}

/// Checks that path, query and body name no other model than `known`.
fn compare(
    table: &WorkerRoutes,
    known: &Known,
    head: &RequestParts,
    names: &Names,
) -> Result<(), ProxyError> {
    let in_path = names.path.clone().map(|at| &head.uri.path()[at]);
    let in_query = names.query.clone().zip(head.uri.query());
    let in_query = in_query.map(|(at, query)| &query[at]);
    for name in in_path.into_iter().chain(in_query) {
        let name = percent_decode_str(name).decode_utf8_lossy();
        same_model(table, known, &name)?;
    }
    match &names.body {
        Some((_, found)) => same_model(table, known, &found.name),
        None => Ok(()),
    }
}

/// Checks that `name` is not that of another model, to callers or to replicas. Wildcards do not count.
fn same_model(table: &WorkerRoutes, known: &Known, name: &str) -> Result<(), ProxyError> {
    let own = &known.model.model.config;
    let is_upstream_name = |model: &Model| model.upstream_name.as_deref() == Some(name);
    if own.name == name || own.aliases.iter().any(|alias| alias == name) || is_upstream_name(own) {
        return Ok(());
    }
    let by_upstream_name = || {
        let mut others = table.models().map(|other| &other.model.config);
        others.find(|other| is_upstream_name(other) && have_replicas_in_common(own, other))
    };
    let other = table.named(name).map(|other| &other.model.config);
    match other.or_else(by_upstream_name) {
        Some(other) if other.name != own.name => Err(ProxyError::TwoModels {
            first: own.name.clone(),
            second: other.name.clone(),
        }),
        _ => Ok(()),
    }
}

/// Whether a replica may serve both.
fn have_replicas_in_common(one: &Model, other: &Model) -> bool {
    let mut endpoints = one.server.endpoints().into_iter().flatten();
    one.server.name == other.server.name
        || endpoints.any(|endpoint| {
            let mut others = other.server.endpoints().into_iter().flatten();
            others.any(|other| other.authority == endpoint.authority)
        })
}

/// The model that the body names, if the header names one already. `is_strict`: also in requests whose
/// API does not say where, if their bodies are such that servers read them; and what cannot be read is
/// refused.
async fn read_other(
    head: &RequestParts,
    found: &Match,
    reader: &mut BodyReader<'_, '_>,
    is_strict: bool,
) -> Result<Option<(Format, Found)>, ProxyError> {
    let is_elsewhere = match found.route {
        None => true,
        Some(_) => matches!(model_in(found), ModelIn::Nowhere(_)),
    };
    let model_in = match is_elsewhere && is_strict && !found.api.is_grpc() {
        true if is_read_by_servers(&head.headers) => ModelIn::Body,
        _ => model_in(found),
    };
    let read = match model_name::in_body(model_in, &head.headers) {
        Ok(None) => return Ok(None),
        Ok(Some(scanner)) => {
            let format = scanner.format();
            reader.read(scanner).await.map(|read| (format, read))
        }
        Err(fault) => Err(ProxyError::Unnamed(fault)),
    };
    match read {
        Ok(read) => Ok(Some(read)),
        Err(ProxyError::Unnamed(fault)) if fault.is_absence() => Ok(None),
        Err(ProxyError::Unnamed(fault)) if !is_strict && !fault.hides_a_name() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether servers may look for a model's name in a body of this type: JSON, text, a form, or of no type.
fn is_read_by_servers(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).peekable();
    types.peek().is_none()
        || types.any(|value| {
            let value = value.as_bytes().to_ascii_lowercase();
            memmem::find(&value, b"json").is_some()
                || value.starts_with(b"text/")
                || value.starts_with(b"multipart/")
        })
}

/// Replaces the model's names in each message of a gRPC call by `name`. A message that names another
/// model ends the call.
fn in_messages(
    head: &mut RequestParts,
    body: &mut PeekableBody,
    field: u32,
    (model, read): (&Model, Option<&Found>),
    name: &str,
) {
    let mut known = vec![model.name.clone()];
    known.extend(model.aliases.iter().cloned());
    known.extend(model.upstream_name.clone());
    known.extend(read.map(|found| found.name.clone()));
    let in_header = model_name::in_header(&head.headers).ok().flatten();
    known.extend(in_header.map(str::to_owned));
    let coding = MessageCoding::of(&head.headers);
    body.rewrite(Rewriter::messages(field, known, name, coding));
    head.headers.remove(CONTENT_LENGTH);
}

/// Replaces the name `found` in the body by `name`.
fn in_body(
    head: &mut RequestParts,
    body: &mut PeekableBody,
    format: Format,
    found: &Found,
    model: &Model,
    name: &str,
) -> Result<(), ProxyError> {
    if let Format::Message(field) = format {
        in_messages(head, body, field, (model, Some(found)), name);
        return Ok(());
    }
    if let Some(decoder) = Decoder::of(&head.headers).map_err(ProxyError::Unnamed)? {
        // A changed body is forwarded uncompressed (RFC 9110, 7.7).
        body.rewrite(Rewriter::decoded(decoder, format, found, name));
        head.headers.remove(CONTENT_ENCODING);
        head.headers.remove(CONTENT_LENGTH);
        return Ok(());
    }
    let grown = body.edit(|read| peek::rewrite(read, format, found, name));
    lengthen(&mut head.headers, grown);
    Ok(())
}

/// Adjusts the length after the body has grown by `grown` bytes.
pub(super) fn lengthen(headers: &mut HeaderMap, grown: i64) {
    let length = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    if let Some(length) = length.and_then(|text| text.parse::<u64>().ok()) {
        let length = HeaderValue::from(length.saturating_add_signed(grown));
        headers.insert(CONTENT_LENGTH, length);
    }
}

/// Replaces the names in header, path and query by `name`.
fn in_head(head: &mut RequestParts, names: &Names, name: &str) {
    if head.headers.contains_key(MODEL_HEADER)
        && let Ok(value) = HeaderValue::from_bytes(name.as_bytes())
    {
        head.headers.insert(MODEL_HEADER, value);
    }
    if names.path.is_none() && names.query.is_none() {
        return;
    }
    let mut path = head.uri.path().to_owned();
    let mut query = head.uri.query().map(str::to_owned);
    if let Some(at) = names.path.clone() {
        path.replace_range(at, &path_segment(name));
    }
    if let (Some(at), Some(query)) = (names.query.clone(), &mut query) {
        let escaped = utf8_percent_encode(name, NON_ALPHANUMERIC).to_string();
        query.replace_range(at, &escaped);
    }
    set_path(head, &path, query);
}

/// Sets the path and query of a request.
pub(super) fn set_path(head: &mut RequestParts, path: &str, query: Option<String>) {
    let target = match query {
        Some(query) => [path, "?", &query].concat(),
        None => path.to_owned(),
    };
    let mut parts = head.uri.clone().into_parts();
    if let Ok(target) = target.parse() {
        parts.path_and_query = Some(target);
    }
    if let Ok(uri) = http::Uri::from_parts(parts) {
        head.uri = uri;
    }
}

//! Replaces the model's name in a request by the one that its replicas know: in the header, path,
//! query and body.

use std::ops::Range;

use http::{
    HeaderValue,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tailback_config::{Replication, ResponseModel, path_segment};

use super::read_model::BodyReader;
use crate::{
    exchange::body::PeekableBody,
    message::{HeaderMap, RequestParts},
    models::{Known, WorkerRoutes},
    protocol::{
        api::{Match, ModelIn},
        error::ProxyError,
        model_name::{self, MODEL_HEADER, is_version},
        peek::{self, Decoder, Format, Found, MessageCoding, Rewriter},
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
    pub(super) fn asked(&self, model: &tailback_config::Model) -> Option<Box<str>> {
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
    // If a replica also hosts other models, a name elsewhere must not select one of those: the request
    // was counted and authorised for this model. Static servers may have more than are configured.
    let by_header = names.path.is_none() && names.query.is_none() && names.body.is_none();
    let has_others = known.model.model.has_neighbours
        || config.server.multi_model.is_some()
        || (table.keys.is_some() && config.server.replication() == Replication::Shared);
    let same = (by_header && has_others).then_some(&config.name);
    let own = config.upstream_name.as_ref();
    let Some(name) = own.or(alias_for).or(same) else {
        return Ok(());
    };
    if !names.body_read {
        // The header named the model. If the body or query names it, too, that name is replaced as well.
        names.body = read_other(head, found, reader).await?;
        let mut other = names.body.as_ref().map(|(_, found)| found.name.clone());
        if names.query.is_none() && matches!(model_in(found), ModelIn::Query) {
            let query = model_name::in_query(head.uri.query().unwrap_or_default())?;
            if let Some((at, name)) = query {
                names.query = Some(at);
                other = Some(name.into_owned());
            }
        }
        if let Some(other) = other.filter(|_| has_others) {
            same_model(table, &known, &other)?;
        }
    }
    if names.path.is_none() && !found.name.is_empty() {
        let part = &head.uri.path()[found.name.clone()];
        let length = table.model_in_path(part).map(|(_, length)| length);
        let length = length.unwrap_or_else(|_| part.split('/').next().map_or(0, str::len));
        names.path = Some(found.name.start..found.name.start + length);
    }
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

/// Checks that `name`, in the body or query, is not that of another model.
fn same_model(table: &WorkerRoutes, known: &Known, name: &str) -> Result<(), ProxyError> {
    let own = known.model.model.name();
    match table.model(name).map(|other| other.model.name()) {
        Some(other) if other != own => Err(ProxyError::TwoModels {
            first: own.to_owned(),
            second: other.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// The model that the body names, if the header names one already.
async fn read_other(
    head: &RequestParts,
    found: &Match,
    reader: &mut BodyReader<'_, '_>,
) -> Result<Option<(Format, Found)>, ProxyError> {
    let read = match model_name::in_body(model_in(found), &head.headers) {
        Ok(None) => return Ok(None),
        Ok(Some(scanner)) => {
            let format = scanner.format();
            reader.read(scanner).await.map(|read| (format, read))
        }
        Err(fault) => Err(ProxyError::Unnamed(fault)),
    };
    match read {
        Ok(read) => Ok(Some(read)),
        Err(ProxyError::Unnamed(fault)) if !fault.hides_a_name() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces the name `found` in the body by `name`.
fn in_body(
    head: &mut RequestParts,
    body: &mut PeekableBody,
    format: Format,
    found: &Found,
    model: &tailback_config::Model,
    name: &str,
) -> Result<(), ProxyError> {
    if let Format::Message(field) = format {
        // Each message of the call names the model.
        let mut known = vec![found.name.clone(), model.name.clone()];
        known.extend(model.aliases.iter().cloned());
        let coding = MessageCoding::of(&head.headers);
        body.rewrite(Rewriter::messages(field, known, name, coding));
        head.headers.remove(CONTENT_LENGTH);
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

//! Step 1: which model a request is for.

use std::rc::Rc;

use http::{
    HeaderValue, Method, Version,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, HOST},
    request::Parts,
};
use percent_encoding::percent_decode_str;
use tailback_config::path_segment;

use super::{Pipeline, read_model::read_model};
use crate::{
    exchange::{
        StreamState,
        body::{BufferReservation, PeekableBody},
    },
    models::{ModelRef, WorkerRoutes},
    net::HttpVersion,
    protocol::{
        ApiProtocol,
        error::ProxyError,
        local_reply::{self, LocalReply},
        peek::{self, Decoder, Format, Found, MessageCoding, Rewriter},
        route::{MODEL_HEADER, MODELS, Route, below_models, in_body, route},
    },
};

pub(super) enum Located {
    Model(ModelRef),
    Local(Box<LocalReply>),
}

/// Finds the model, and puts the name that its replicas know it by in the place
/// of the caller's.
pub(super) async fn locate(
    pipeline: &Pipeline,
    table: &WorkerRoutes,
    state: &Rc<StreamState>,
    head: &mut Parts,
    body: &mut PeekableBody,
    reservation: &mut BufferReservation<'_>,
) -> Result<Located, ProxyError> {
    let api = state.api.get();
    if head.method == Method::CONNECT {
        return Err(ProxyError::Connect);
    }
    if api == ApiProtocol::Grpc && state.connection().version == HttpVersion::Http1 {
        return Err(ProxyError::GrpcNeedsHttp2);
    }
    check_host(head)?;
    check_length(head)?;
    if let Some(cors) = &pipeline.cors
        && let Some(answer) = cors.preflight(&head.method, &head.headers)
    {
        return Ok(Located::Local(Box::new(answer.into())));
    }
    let path = head.uri.path();
    let mut read = None;
    // Whether it is its own name that the request calls it by; else an alias, or not told apart.
    let mut in_path = None;
    let (model, own_name) = match route(api, &head.method, &head.headers, path) {
        Route::Model(name) => known(table, name)?,
        Route::InPath(below) => {
            let (model, length) = table
                .model_in_path(below)
                .map_err(ProxyError::UnknownModel)?;
            in_path = Some(length);
            (model.clone(), is_named(model, &below[..length]))
        }
        Route::InBody(scanner) => {
            let format = scanner.format();
            let found = read_model(scanner, body, reservation, state).await?;
            let known = known(table, &found.name)?;
            read = Some((format, found));
            known
        }
        Route::Local => {
            return local_reply::answer(api, &head.method, path, &*table.table)
                .map(|reply| Located::Local(Box::new(reply)));
        }
        Route::Wrong(error) => return Err(error),
    };
    let config = &model.model.config;
    let alias_for = (!own_name).then_some(&config.name);
    if let Some(name) = config.upstream_name.as_ref().or(alias_for) {
        if read.is_none() {
            // Named by the header: what the body says has to be replaced as well,
            // if it says anything.
            let error = match in_body(api, &head.method, &head.headers, path) {
                Ok(scanner) => {
                    let format = scanner.format();
                    match read_model(scanner, body, reservation, state).await {
                        Ok(found) => {
                            read = Some((format, found));
                            None
                        }
                        Err(error) => Some(error),
                    }
                }
                Err(Route::Wrong(error)) => Some(error),
                Err(_) => None,
            };
            match error {
                Some(ProxyError::Unnamed(fault)) if !fault.hides_a_name() => {}
                // A method of another service: only its callers know what its messages say.
                None | Some(ProxyError::NoMethod) => {}
                Some(error) => return Err(error),
            }
        }
        let in_path = in_path.or_else(|| {
            let below = below_models(head.uri.path())?;
            let length = table.model_in_path(below).map(|(_, length)| length);
            Some(length.unwrap_or_else(|_| below.split('/').next().map_or(0, str::len)))
        });
        if let Some((format, found)) = &read {
            rename_in_body(head, body, *format, found, config, name)?;
        }
        rename_in_head(head, in_path, name);
    }
    Ok(Located::Model(model))
}

/// The model, and whether that is its own name.
fn known(table: &WorkerRoutes, name: &str) -> Result<(ModelRef, bool), ProxyError> {
    let model = table
        .model(name)
        .ok_or_else(|| ProxyError::UnknownModel(name.to_owned()))?;
    Ok((model.clone(), model.model.name() == name))
}

/// Whether a path's `name` is the model's own, however it is escaped.
fn is_named(model: &ModelRef, name: &str) -> bool {
    let own = model.model.name();
    own == name || percent_decode_str(name).eq(own.bytes())
}

/// RFC 9112, 3.2: exactly one Host in HTTP/1.1. RFC 9113, 8.3.1: none that
/// differs from `:authority` in HTTP/2, where one of the two is enough.
fn check_host(head: &Parts) -> Result<(), ProxyError> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(ProxyError::BadHost);
    }
    match (host, head.uri.authority()) {
        (None, None) if head.version >= Version::HTTP_11 => Err(ProxyError::BadHost),
        (None, Some(_)) if head.version == Version::HTTP_11 => Err(ProxyError::BadHost),
        (Some(host), Some(authority))
            if head.version == Version::HTTP_2
                && !host
                    .as_bytes()
                    .eq_ignore_ascii_case(authority.as_str().as_bytes()) =>
        {
            Err(ProxyError::BadHost)
        }
        _ => Ok(()),
    }
}

/// One length at most: which of two counts, the next server may see otherwise
/// (RFC 9112, 6.3). hyper sees to that on HTTP/1.1.
fn check_length(head: &Parts) -> Result<(), ProxyError> {
    let mut lengths = head.headers.get_all(CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (Some(_), Some(_)) => Err(ProxyError::BadLength),
        _ => Ok(()),
    }
}

/// Writes `name` where the body says `found`.
fn rename_in_body(
    head: &mut Parts,
    body: &mut PeekableBody,
    format: Format,
    found: &Found,
    model: &tailback_config::Model,
    name: &str,
) -> Result<(), ProxyError> {
    if let Format::Message(field) = format {
        // Each message of the call has a name.
        let mut known = vec![found.name.clone(), model.name.clone()];
        known.extend(model.aliases.iter().cloned());
        body.rewrite(Rewriter::messages(
            field,
            known,
            name,
            MessageCoding::of(&head.headers),
        ));
        head.headers.remove(CONTENT_LENGTH);
        return Ok(());
    }
    if let Some(decoder) = Decoder::of(&head.headers).map_err(ProxyError::Unnamed)? {
        // RFC 9110, 7.7: a body that is changed goes on as what it says.
        body.rewrite(Rewriter::decoded(decoder, format, found, name));
        head.headers.remove(CONTENT_ENCODING);
        head.headers.remove(CONTENT_LENGTH);
        return Ok(());
    }
    let grown = body.edit(|read| peek::rewrite(read, format, found, name));
    let length = head
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok());
    if let Some(length) = length.and_then(|text| text.parse::<u64>().ok()) {
        let length = HeaderValue::from(length.saturating_add_signed(grown));
        head.headers.insert(CONTENT_LENGTH, length);
    }
    Ok(())
}

/// Writes `name` where the head names the model: in the header, and in the path, where its present
/// name is `in_path` bytes long.
fn rename_in_head(head: &mut Parts, in_path: Option<usize>, name: &str) {
    if head.headers.contains_key(MODEL_HEADER)
        && let Ok(value) = HeaderValue::from_bytes(name.as_bytes())
    {
        head.headers.insert(MODEL_HEADER, value);
    }
    if let Some(length) = in_path {
        let escaped = path_segment(name);
        let path = head.uri.path_and_query().map_or("", |p| p.as_str());
        let new = [MODELS, &escaped, &path[MODELS.len() + length..]].concat();
        let mut parts = head.uri.clone().into_parts();
        if let Ok(new) = new.parse() {
            parts.path_and_query = Some(new);
        }
        if let Ok(uri) = http::Uri::from_parts(parts) {
            head.uri = uri;
        }
    }
}

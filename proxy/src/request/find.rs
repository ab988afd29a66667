//! Step 1: which model a request is for.

use http::{
    HeaderValue, Method, Version,
    header::{CONTENT_LENGTH, HOST},
    request::Parts,
};

use crate::{
    admit::Part,
    answer::Failure,
    body::Inbound,
    dialect::Dialect,
    downstream::{self, Call, DataPlane},
    headers,
    own::{self, Own},
    peek::{self, Fault, Format, Found},
    route::{Route, in_body, model_in_path, route},
    worker::{ModelRef, WorkerTable},
};

pub(super) enum Target {
    Model(ModelRef),
    Own(Box<Own>),
}

/// Finds the model, and puts the name that its replicas know it by in the place
/// of the caller's.
pub(super) async fn find(
    plane: &DataPlane,
    table: &WorkerTable,
    call: &Call,
    head: &mut Parts,
    body: &mut Inbound,
    part: &mut Part<'_>,
) -> Result<Target, Failure> {
    let dialect = call.dialect.get();
    if head.method == Method::CONNECT {
        return Err(Failure::Connect);
    }
    if dialect == Dialect::Grpc && call.connection().version == downstream::Version::Http1 {
        return Err(Failure::GrpcNeedsHttp2);
    }
    check_host(head)?;
    check_length(head)?;
    let path = head.uri.path();
    let mut read = None;
    let model = match route(dialect, &head.method, &head.headers, path) {
        Route::Model(name) => known(table, name)?,
        Route::InBody(scanner) => {
            let (limit, format) = (plane.limits.peek_bytes, scanner.format());
            let found = peek::model(scanner, body, limit, part, call).await?;
            let model = known(table, &found.name)?;
            read = Some((format, found));
            model
        }
        Route::Own => {
            return own::answer(dialect, &head.method, path, &table.table)
                .map(|own| Target::Own(Box::new(own)));
        }
        Route::Wrong(failure) => return Err(failure),
    };
    if let Some(name) = &model.model.config.upstream_name {
        if read.is_none()
            && let Ok(scanner) = in_body(dialect, &head.method, &head.headers, path)
        {
            // Named by the header: what the body says has to be replaced as well,
            // if it says anything.
            let (limit, format) = (plane.limits.peek_bytes, scanner.format());
            match peek::model(scanner, body, limit, part, call).await {
                Ok(found) => read = Some((format, found)),
                Err(Failure::Unnamed(fault))
                    if !matches!(fault, Fault::Twice | Fault::TwiceInMessage) => {}
                Err(failure) => return Err(failure),
            }
        }
        rename(head, body, read.as_ref(), name);
    }
    Ok(Target::Model(model))
}

fn known(table: &WorkerTable, name: &str) -> Result<ModelRef, Failure> {
    let model = table.model(name);
    model
        .cloned()
        .ok_or_else(|| Failure::UnknownModel(name.to_owned()))
}

/// RFC 9112, 3.2: exactly one Host in HTTP/1.1. RFC 9113, 8.3.1: none that
/// differs from `:authority` in HTTP/2, where one of the two is enough.
fn check_host(head: &Parts) -> Result<(), Failure> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Failure::BadHost);
    }
    match (host, head.uri.authority()) {
        (None, None) if head.version >= Version::HTTP_11 => Err(Failure::BadHost),
        (None, Some(_)) if head.version == Version::HTTP_11 => Err(Failure::BadHost),
        (Some(host), Some(authority))
            if head.version == Version::HTTP_2
                && !host
                    .as_bytes()
                    .eq_ignore_ascii_case(authority.as_str().as_bytes()) =>
        {
            Err(Failure::BadHost)
        }
        _ => Ok(()),
    }
}

/// One length at most: which of two counts, the next server may see otherwise
/// (RFC 9112, 6.3). hyper sees to that on HTTP/1.1.
fn check_length(head: &Parts) -> Result<(), Failure> {
    let mut lengths = head.headers.get_all(CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (Some(_), Some(_)) => Err(Failure::BadLength),
        _ => Ok(()),
    }
}

/// Writes `name` where the request names the model.
fn rename(head: &mut Parts, body: &mut Inbound, read: Option<&(Format, Found)>, name: &str) {
    if let Some((format, found)) = read {
        let grown = body.edit(|read| peek::rewrite(read, *format, found, name));
        let length = head
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|v| v.to_str().ok());
        if let Some(length) = length.and_then(|text| text.parse::<u64>().ok()) {
            let length = HeaderValue::from(length.saturating_add_signed(grown));
            head.headers.insert(CONTENT_LENGTH, length);
        }
    }
    if let Some(own) = model_in_path(head.uri.path()) {
        let escaped = headers::escaped_segment(name);
        let path = head.uri.path_and_query().map_or("", |p| p.as_str());
        // The name follows `/v2/models/`, which has no other place for it.
        let start = "/v2/models/".len();
        let new = [&path[..start], &escaped, &path[start + own.len()..]].concat();
        let mut parts = head.uri.clone().into_parts();
        if let Ok(new) = new.parse() {
            parts.path_and_query = Some(new);
        }
        if let Ok(uri) = http::Uri::from_parts(parts) {
            head.uri = uri;
        }
    }
}

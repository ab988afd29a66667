//! Connections: the listener with its outages, and a request's way from the
//! wire to the store and back.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    time,
};

use super::{
    Asked, Shared,
    access::User,
    discovery,
    failure::{Failure, Form},
    faults::{Fault, Reach},
    operations::{self, Content, Reply},
    routes::{self, Route, Target},
    watch::Watch,
};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Serves until the runtime ends.
pub(super) async fn serve(shared: Arc<Shared>, listener: TcpListener, address: SocketAddr) {
    let mut reach = shared.faults.reach();
    let mut listener = Some(listener);
    loop {
        let is_up = *reach.borrow_and_update() == Reach::Up;
        if !is_up {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(address).await.ok();
        }
        match &listener {
            Some(open) => tokio::select! {
                Ok((stream, _)) = open.accept() => {
                    tokio::spawn(connection(shared.clone(), stream));
                }
                _ = reach.changed() => {}
            },
            None if is_up => time::sleep(time::Duration::from_millis(10)).await,
            None => {
                let _ = reach.changed().await;
            }
        }
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let _open = shared.connections.open();
    let mut cuts = shared.faults.cuts();
    let service = service_fn(move |request| answer(shared.clone(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = connection => {}
        _ = cuts.changed() => {}
    }
}

/// An error closes the connection without an answer.
async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let content = Content {
        body,
        content_type: text(&head.headers, &header::CONTENT_TYPE),
        agent: text(&head.headers, &header::USER_AGENT),
    };
    let authorization = text(&head.headers, &header::AUTHORIZATION);
    let user = shared
        .tokens
        .user(Some(authorization.as_str()).filter(|a| !a.is_empty()));
    let resources = shared.resources();
    let route = routes::parse(&head.method, &head.uri, &resources);
    let (user, route) = match (user, route) {
        (Err(failure), _) | (_, Err(failure)) => return Ok(refusal(&failure)),
        (Ok(user), Ok(route)) => (user, route),
    };
    match route {
        Route::Health => Ok(respond(200, "text/plain", full("ok"))),
        Route::Discovery(path) => Ok(match discovery::answer(&path, &resources) {
            Ok(answer) => json_response(200, &answer),
            Err(failure) => refusal(&failure),
        }),
        Route::Objects(target) => objects(&shared, &user, &target, &content).await,
    }
}

async fn objects(
    shared: &Arc<Shared>,
    user: &User,
    target: &Target,
    content: &Content,
) -> io::Result<Response<Body>> {
    let mut result = None;
    let mut is_cut = false;
    let faults = match user {
        User::Admin => Vec::new(),
        _ => shared.faults.take(&target.action()),
    };
    for fault in faults {
        match fault {
            Fault::Delay(by) => time::sleep(by).await,
            Fault::Answer(failure) => result = Some(Err(failure)),
            Fault::Forbid => result = Some(Err(user.forbidden(&target.action()))),
            Fault::Disconnect => is_cut = true,
        }
    }
    let result = result.unwrap_or_else(|| {
        user.authorise(&shared.store.lock(), &target.action())?;
        operations::execute(shared, target, content)
    });
    let code = match &result {
        Ok(Reply::Object(code, _)) => *code,
        Ok(Reply::Watch(_)) => 200,
        Err(failure) => failure.code,
    };
    let response = match result {
        Ok(Reply::Object(code, object)) => json_response(code, &object),
        Ok(Reply::Watch(request)) => {
            let events = Watch::open(shared.clone(), request).into_body();
            let body = StreamBody::new(events).boxed_unsync();
            respond(200, "application/json", body)
        }
        Err(failure) => refusal(&failure),
    };
    // Only now: whoever sees a watch in the journal can rely on its being open.
    shared.note(Asked {
        user: user.name().into(),
        verb: target.verb.name(),
        resource: target.action().full_resource(),
        namespace: target.namespace.clone(),
        name: target.name.clone(),
        body: serde_json::from_slice(&content.body).unwrap_or(Value::Null),
        code,
    });
    if is_cut {
        return Err(io::Error::other("cut by the test"));
    }
    Ok(response)
}

fn text(headers: &HeaderMap, name: &header::HeaderName) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed_unsync()
}

fn json_response(code: u16, object: &Value) -> Response<Body> {
    respond(code, "application/json", full(object.to_string()))
}

fn refusal(failure: &Failure) -> Response<Body> {
    let mut response = match failure.form {
        Form::Status => json_response(failure.code, &failure.status()),
        Form::Text => respond(
            failure.code,
            "text/plain; charset=utf-8",
            full(failure.message.clone()),
        ),
    };
    if let Some(seconds) = failure.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn respond(code: u16, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
    let content_type = header::HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

//! A request's way through the proxy, from its head to its response's.

mod admit;
mod forward;
mod outgoing;

use std::{
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::Poll,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, Version,
    header::{CONNECTION, HOST},
};
use hyper::body::Incoming;
use tailback_scaler::clock::Nanos;

use crate::{
    answer::Failure,
    downstream::{Connection, DataPlane, Exchange, Phase, ResponseBody},
    headers,
    outcome::Outcome,
    own,
    route::{Route, route},
    worker::{self, ModelRef, WorkerTable},
};

type Answer = Response<ResponseBody>;

/// Answers one request. Its steps:
///
/// 1. route: which model is it for? Nothing is counted for those that are for none;
/// 2. arrive: from here on it is in flight, whatever happens;
/// 3. admit: get a replica's slot, or wait for one;
/// 4. forward: send it, again if that is safe, until there is a response;
/// 5. complete: when the response's last byte is flushed, or all this is dropped.
pub async fn handle(
    plane: &DataPlane,
    state: &Rc<Connection>,
    request: Request<Incoming>,
) -> Answer {
    let table = worker::table(&plane.tables);
    let model = match routed(&table, &request) {
        Ok(Routed::Model(model)) => model,
        Ok(Routed::Own(response)) => return answer(response, None, state),
        Err(failure) => {
            plane.metrics.unrouted.increment(1);
            return fail(&failure, None, state);
        }
    };
    let now = Nanos::now();
    let mut exchange = Exchange::arrive(&model, now);
    state.begin(now);

    let work = forward::forward(plane, state, &model, now, request);
    match within_limits(state, &model, work).await {
        Ok((response, request_id, lease)) => {
            let (mut parts, incoming) = response.into_parts();
            headers::to_downstream(&mut parts.headers, request_id);
            parts.version = Version::HTTP_11;
            exchange.set_status(parts.status);
            exchange.set_outcome(Outcome::of_status(parts.status));
            let body = ResponseBody::upstream(incoming, lease, exchange, state.clone());
            sent(Response::from_parts(parts, body), state)
        }
        Err(failure) => fail(&failure, Some(exchange), state),
    }
}

enum Routed {
    Model(ModelRef),
    Own(Response<Bytes>),
}

/// Step 1.
fn routed(table: &WorkerTable, request: &Request<Incoming>) -> Result<Routed, Failure> {
    let (method, path) = (request.method(), request.uri().path());
    if *method == Method::CONNECT {
        return Err(Failure::Connect);
    }
    // RFC 9112, 3.2: exactly one Host in HTTP/1.1.
    let mut hosts = request.headers().get_all(HOST).iter();
    if (hosts.next().is_none() && request.version() == Version::HTTP_11) || hosts.next().is_some() {
        return Err(Failure::BadHost);
    }
    match route(request.headers(), path) {
        Route::Model(name) => match table.model(name) {
            Some(model) => Ok(Routed::Model(model.clone())),
            None => Err(Failure::UnknownModel(name.to_owned())),
        },
        Route::NoModel => own::answer(method, path)
            .map(Routed::Own)
            .ok_or(Failure::NoModel),
        Route::BadHeader => Err(Failure::BadModelHeader),
    }
}

/// Runs `work` until it is done or the connection's watch says time is up.
async fn within_limits<T>(
    state: &Connection,
    model: &ModelRef,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if state.take_expired() {
            let failure = match state.blame() {
                Outcome::CallerSlow => Failure::CallerSlow,
                _ => Failure::UpstreamSlow {
                    model: model.model.name().to_owned(),
                },
            };
            return Poll::Ready(Err(failure));
        }
        work.as_mut().poll(cx)
    })
    .await
}

fn fail(failure: &Failure, exchange: Option<Exchange>, state: &Rc<Connection>) -> Answer {
    let exchange = exchange.map(|mut exchange| {
        exchange.set_status(failure.status());
        if let Some(outcome) = failure.outcome() {
            exchange.set_outcome(outcome);
        }
        exchange
    });
    answer(failure.response(), exchange, state)
}

fn answer(response: Response<Bytes>, exchange: Option<Exchange>, state: &Rc<Connection>) -> Answer {
    sent(
        response.map(|bytes| ResponseBody::own(bytes, exchange, state.clone())),
        state,
    )
}

fn sent(mut response: Answer, state: &Connection) -> Answer {
    if state.is_closing() {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    debug_assert_eq!(state.phase(), Phase::Streaming);
    response
}

//! A request's way through the proxy, from its head to its response's.

mod admit;
mod find;
mod forward;
mod outgoing;

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header::UPGRADE};
use tailback_scaler::clock::Nanos;

use crate::{
    answer::Failure,
    body::{Inbound, Received},
    dialect::Dialect,
    downstream::{Call, DataPlane, Exchange, ResponseBody, Told, Tunnel},
    grpc::{self, Code},
    headers,
    outcome::Outcome,
    own::Own,
    worker,
};

use self::find::Target;

type Answer = Response<ResponseBody>;

/// Answers one request. Its steps:
///
/// 1. find: which model is it for? Nothing is counted for those that are for none;
/// 2. arrive: from here on it is in flight, whatever happens;
/// 3. admit: get a replica's slot, or wait for one;
/// 4. forward: send it, again if that is safe, until there is a response;
/// 5. complete: when the response's last byte is flushed, or all this is dropped.
pub async fn handle(plane: &DataPlane, call: &Rc<Call>, request: Request<Received>) -> Answer {
    let table = worker::table(&plane.tables);
    let (mut head, body) = request.into_parts();
    let mut body = Inbound::new(body);
    let dialect = Dialect::of(&head.headers, head.uri.path());
    call.dialect.set(dialect);
    let found = {
        let found = pin!(find::find(plane, &table, call, &mut head, &mut body));
        within_limits(call, found).await
    };
    let model = match found {
        Ok(Target::Model(model)) => model,
        Ok(Target::Own(own)) => return own_answer(*own, None, call),
        Err(failure) => {
            plane.metrics.unrouted.increment(1);
            return fail(&failure, None, call);
        }
    };
    let now = Nanos::now();
    let mut exchange = Exchange::arrive(&model, now, dialect);
    let limit = match dialect {
        Dialect::Grpc => grpc::timeout(&head.headers),
        Dialect::Inference | Dialect::OpenAi => None,
    };
    call.begin(now, limit);

    let work = pin!(forward::forward(plane, call, &model, now, head, body));
    match within_limits(call, work).await {
        Ok((response, request_id, lease)) => {
            let (mut parts, incoming) = response.into_parts();
            if parts.status == StatusCode::SWITCHING_PROTOCOLS {
                exchange.set_told(Told::Http(parts.status));
                return switch(parts, request_id, Tunnel::new(lease, exchange), call);
            }
            if dialect == Dialect::Grpc && Code::is_in(&parts.headers) {
                exchange.answered(Code::of(&parts.headers));
            } else if dialect == Dialect::Grpc && parts.status.is_success() {
                // Its status comes at the end. Without one, the answer is not whole.
                exchange.set_outcome(Outcome::UpstreamReset);
            } else {
                exchange.set_told(Told::Http(parts.status));
                exchange.set_outcome(Outcome::of_status(parts.status));
            }
            headers::to_downstream(&mut parts.headers, request_id, call.connection());
            let body = ResponseBody::upstream(incoming, lease, exchange, call.clone());
            parts.version = Version::HTTP_11;
            Response::from_parts(parts, body)
        }
        Err(failure) => fail(&failure, Some(exchange), call),
    }
}

/// The replica goes over to another protocol: so does the caller's connection,
/// when the answer that says so is out.
fn switch(
    mut parts: http::response::Parts,
    request_id: HeaderValue,
    tunnel: Tunnel,
    call: &Rc<Call>,
) -> Answer {
    let protocol = parts.headers.get(UPGRADE).cloned();
    headers::to_downstream(&mut parts.headers, request_id, call.connection());
    if let Some(protocol) = &protocol {
        headers::write_upgrade(&mut parts.headers, protocol);
    }
    parts.version = Version::HTTP_11;
    call.set_tunnel(tunnel);
    let body = ResponseBody::own(Bytes::new(), None, None, call.clone());
    Response::from_parts(parts, body)
}

/// Runs `work` until it is done or the call's watch says time is up.
/// It is pinned where it is made: as an argument, it would be there twice.
async fn within_limits<T>(
    call: &Call,
    mut work: Pin<&mut impl Future<Output = Result<T, Failure>>>,
) -> Result<T, Failure> {
    poll_fn(|cx| {
        if call.take_expired() {
            let failure = match call.blame() {
                _ if call.is_past_callers_limit() => Failure::PastDeadline,
                Outcome::CallerSlow => Failure::CallerSlow,
                _ => Failure::UpstreamSlow,
            };
            return Poll::Ready(Err(failure));
        }
        work.as_mut().poll(cx)
    })
    .await
}

fn fail(failure: &Failure, exchange: Option<Exchange>, call: &Rc<Call>) -> Answer {
    let dialect = call.dialect.get();
    let exchange = exchange.map(|mut exchange| {
        exchange.set_told(match dialect {
            Dialect::Grpc => Told::Grpc(failure.code()),
            Dialect::Inference | Dialect::OpenAi => Told::Http(failure.status()),
        });
        if let Some(outcome) = failure.outcome() {
            exchange.set_outcome(outcome);
        }
        exchange
    });
    own_answer(failure.response(dialect).into(), exchange, call)
}

fn own_answer(own: Own, exchange: Option<Exchange>, call: &Rc<Call>) -> Answer {
    let Own { response, trailers } = own;
    response.map(|bytes| ResponseBody::own(bytes, trailers, exchange, call.clone()))
}

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
use http::{HeaderValue, Request, Response, StatusCode, Version, header::UPGRADE, response};
use http_body::Body;
use tailback_scaler::clock::Nanos;

use crate::{
    access_log::Entry,
    answer::Failure,
    body::{Inbound, Received},
    dialect::Dialect,
    downstream::{Call, DataPlane, Exchange, ResponseBody, Told, Tunnel},
    grpc::{self, Code},
    headers,
    outcome::Outcome,
    own::Own,
    upstream::Lease,
    worker,
};

use self::{find::Target, outgoing::Outgoing};

type Answer = Response<ResponseBody>;

/// Answers one request. Its steps:
///
/// 1. find: which model is it for? Nothing is counted for those that are for none;
/// 2. arrive: from here on it is in flight, whatever happens;
/// 3. admit: get a replica's slot, or wait for one;
/// 4. forward: send it, again if that is safe, until there is a response;
/// 5. complete: when the response's last byte is flushed, or all this is dropped.
pub fn handle(
    plane: &DataPlane,
    call: &Rc<Call>,
    request: Request<Received>,
) -> impl Future<Output = Answer> {
    // Taken apart before there is a future, which would keep room for both.
    let (mut head, body) = request.into_parts();
    call.body_unread.set(!body.is_end_stream());
    let mut body = Inbound::new(body);
    async move {
        let table = worker::table(&plane.tables);
        let dialect = Dialect::of(&head.headers, head.uri.path());
        call.dialect.set(dialect);
        let entry = plane.access_log.map(|log| Entry::new(log, head.uri.path()));
        let mut part = plane.room.part();
        let model = {
            let find = find::find(plane, &table, call, &mut head, &mut body, &mut part);
            let find = pin!(find);
            match within_limits(call, find).await {
                Ok(Target::Model(model)) => model,
                Ok(Target::Own(own)) => return own_answer(*own, None, call),
                Err(failure) => {
                    plane.metrics.unrouted.increment(1);
                    return fail(&failure, None, call);
                }
            }
        };
        let now = Nanos::now();
        let mut exchange = Exchange::arrive(&model, now, dialect, entry);
        let limit = match dialect {
            Dialect::Grpc => grpc::timeout(&head.headers),
            Dialect::Inference | Dialect::OpenAi => None,
        };
        call.begin(now, limit);

        let mut outgoing = Outgoing::new(head, body, call);
        let answered = {
            let work = pin!(forward::forward(
                plane,
                call,
                &mut exchange,
                &model,
                now,
                &mut outgoing,
                part
            ));
            within_limits(call, work).await
        };
        match answered {
            Ok((response, lease)) => pass_on(response, outgoing.request_id, lease, exchange, call),
            Err(failure) => fail(&failure, Some(exchange), call),
        }
    }
}

/// A replica's answer, on its way to the caller.
fn pass_on(
    response: Response<Received>,
    request_id: HeaderValue,
    lease: Lease,
    mut exchange: Exchange,
    call: &Rc<Call>,
) -> Answer {
    let (mut parts, incoming) = response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        exchange.set_told(Told::Http(parts.status));
        return switch(parts, request_id, Tunnel::new(lease, exchange), call);
    }
    let is_grpc = call.dialect.get() == Dialect::Grpc;
    if is_grpc && Code::is_in(&parts.headers) {
        exchange.answered(Code::of(&parts.headers));
    } else if is_grpc && parts.status.is_success() {
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

/// The replica goes over to another protocol: so does the caller's connection,
/// when the answer that says so is out.
fn switch(
    mut parts: response::Parts,
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

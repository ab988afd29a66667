//! The path of a request through the proxy, from its header to the header of its response.

mod admit;
mod affinity;
mod answer_filter;
mod authorize;
mod fields;
mod flow;
mod forward;
mod headers;
mod include_usage;
mod local_service;
mod locate;
mod model_cards;
mod question;
mod read_model;
mod rename;
mod replay;
mod replica_answer;
mod response_body;
mod retry_after;
mod stored_response;
mod upstream_request;
mod well_formed;

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::Poll,
};

use futures_util::FutureExt;
use http::{
    HeaderValue, StatusCode, Version,
    header::{AUTHORIZATION, CONTENT_LENGTH, UPGRADE},
};
use http_body::Body;
use metrics::Counter;
use tailback_scaler::{clock::Nanos, replica::health::Failure, status::StatusStore};

use crate::{
    api_keys::{Caller, remove_credentials},
    downstream::{Handler, Lifecycle, Tunnel},
    exchange::{
        Connection, Exchange, LiveRequests, RequestBodyState, Scheme, StreamState,
        body::{BufferBudget, PeekableBody, Received},
    },
    message::{Request, Response, ResponseParts},
    models::{SharedRoutes, StoredResponses, worker},
    net::HttpVersion,
    overload::Overload,
    protocol::{cors::Cors, error::ProxyError, grpc, local_reply::LocalReply},
    status::{GrpcCode, MethodType, Outcome, ResponseStatus},
    telemetry::{
        access_log::{AccessLog, AccessLogEntry},
        traces::{EarlyTrace, RequestTrace, TracedCaller, Tracer},
    },
    upstream::{ConnectOptions, PooledConnection},
};

pub use self::response_body::ResponseBody;
use self::{
    answer_filter::AnswerFilter,
    fields::Fields,
    locate::{Answering, Located},
    upstream_request::UpstreamRequest,
};

type Answer = Response<ResponseBody>;

/// The state that requests need, shared by all workers.
#[derive(Debug)]
pub struct Pipeline {
    /// The route table.
    pub routes: Arc<SharedRoutes>,
    /// Which replicas store which responses.
    pub stored: Arc<StoredResponses>,
    /// The requests in flight.
    pub live: Arc<LiveRequests>,
    /// The budget for buffered bodies of waiting requests.
    pub buffer_budget: BufferBudget,
    /// The overload manager.
    pub overload: Arc<Overload>,
    /// Settings of upstream connections.
    pub connect: ConnectOptions,
    /// The access log, if there is one.
    pub access_log: Option<AccessLog>,
    /// Traces requests, if tracing is on.
    pub tracer: Option<Tracer>,
    /// The scaler's status of each model. Read only for errors.
    pub status: StatusStore,
    /// Whether the process drains or stops.
    pub lifecycle: Arc<Lifecycle>,
    /// The other origins whose pages may send requests; `None`: none.
    pub cors: Option<Arc<Cors>>,
    /// Whether probes of a model, such as for its readiness, wake it and count as use.
    pub probes_wake: bool,
    /// Counts requests that match no model.
    pub unrouted: Counter,
}

impl Handler for Pipeline {
    type Body = ResponseBody;

    fn accepted(&self) {
        worker::keep_swept(&self.routes);
        self.live.keep_answering();
    }

    fn handle(
        &self,
        state: &Rc<StreamState>,
        request: Request<Received>,
    ) -> impl Future<Output = Answer> {
        handle(self, state, request)
    }
}

/// Answers one request, in these steps:
///
/// 1. locate: determine the model. Requests that match none are not counted further;
/// 2. count in: the request is in flight, until it completes or is dropped;
/// 3. admit: take a replica's permit, or wait for one;
/// 4. forward: send the request, with retries if they are safe, until there is a response;
/// 5. complete: when the last byte of the response is flushed, or the request is dropped.
fn handle(
    pipeline: &Pipeline,
    state: &Rc<StreamState>,
    request: Request<Received>,
) -> impl Future<Output = Answer> {
    // Split outside the future, which would otherwise hold both.
    let (mut head, body) = request.into_parts();
    state.begin(match body.is_end_stream() {
        true => RequestBodyState::Ended,
        false => RequestBodyState::Unread,
    });
    let mut body = PeekableBody::new(body);
    async move {
        let table = worker::table(&pipeline.routes);
        let entry = pipeline
            .access_log
            .map(|log| AccessLogEntry::new(log, head.uri.path()));
        let mut trace = EarlyTrace::new(pipeline.tracer.and_then(|tracer| {
            let (method, path) = (&head.method, head.uri.path());
            let caller = || traced_caller(state.connection());
            RequestTrace::begin(tracer, method, path, &mut head.headers, caller)
        }));
        let fields = Fields::look(&head.headers);
        let mut reservation = pipeline.buffer_budget.reserve();
        let located = {
            let located = pin!(locate::locate(
                pipeline,
                &table,
                state,
                (&mut head, fields),
                &mut body,
                &mut reservation,
            ));
            within_limits(state, located).await
        };
        let (model, question, answering, caller) = match located {
            Ok(Located::Model(model, answering, caller)) => (model, None, answering, caller),
            Ok(Located::Probe(model, otherwise)) => {
                (model, Some(otherwise), Answering::default(), Caller::Anyone)
            }
            Ok(Located::Local(reply)) => {
                drop(trace.take());
                return local_reply(*reply, None, state);
            }
            Ok(Located::Service(service, about, caller)) => {
                drop(trace.take());
                state.body.set(RequestBodyState::Awaited);
                // Boxed, because it is rare, and its state would enlarge every request's future.
                let answer = local_service::answer(pipeline, service, about, &caller, head, body);
                let mut answer = Box::pin(answer.map(Ok));
                return match within_limits(state, answer.as_mut()).await {
                    Ok(answer) => {
                        state.deadline.begin(
                            Nanos::now(),
                            local_service::limits(service, state),
                            None,
                        );
                        answer.map(|body| ResponseBody::service(body, state.clone()))
                    }
                    Err(error) => fail(&error, None, state),
                };
            }
            Err(error) => {
                if !error.is_of_api_key() {
                    pipeline.unrouted.increment(1);
                }
                return reject(&error, trace, state);
            }
        };
        let now = Nanos::now();
        let key = match caller.begin(now) {
            Ok(key) => key,
            Err(too_many) => return reject(&too_many.into(), trace, state),
        };
        let mut trace = trace.take();
        if let (Some(trace), Some(route)) = (&mut trace, answering.route) {
            trace.route(route.pattern.to_string());
        }
        if let Some(key) = &model.upstream_key {
            remove_credentials(&mut head.headers);
            head.headers.insert(AUTHORIZATION, key.clone());
        }
        let method = state.api.get().method_type();
        let mut exchange = match question {
            None => {
                let whole = body.has_ended();
                let account = &model.account;
                let mut exchange = Exchange::arrive(account, now, whole, method, key, entry, trace);
                exchange.show(answering.route, state);
                exchange
            }
            Some(_) => Exchange::probe(&model.account, now, method),
        };
        let limit = match method {
            MethodType::Grpc => grpc::timeout(&head.headers),
            MethodType::Rest => None,
        };
        state
            .deadline
            .begin(now, (&model.model.config.timeouts).into(), limit);

        let mut outgoing = UpstreamRequest::new((head, fields), body, state, question.is_none());
        let answered = {
            let work = pin!(forward::forward(
                pipeline,
                state,
                &mut exchange,
                &model,
                (now, answering.stored),
                &mut outgoing,
                reservation
            ));
            within_limits(state, work).await
        };
        match answered {
            Ok((response, pooled)) => {
                let name = model.model.name();
                let replica = pooled.replica();
                if let Some(api) = answering.route.and_then(|route| route.generates) {
                    exchange.watch_tokens(api, response.status(), response.headers());
                }
                let filter = AnswerFilter::of(pipeline, &response, answering, name, replica);
                let request_id = outgoing.request_id;
                pass_on(response, request_id, filter, pooled, exchange, state)
            }
            Err(ProxyError::UpstreamSlow(limit)) => {
                exchange.replica_failed(Failure::Timeout);
                fail(&ProxyError::UpstreamSlow(limit), Some(exchange), state)
            }
            Err(error) => match question.and_then(|otherwise| otherwise.reply(&error)) {
                Some(reply) => local_reply(reply, None, state),
                None => fail(&error, Some(exchange), state),
            },
        }
    }
}

/// Forwards a replica's response to the caller, through `filter`.
fn pass_on(
    response: Response<Received>,
    request_id: HeaderValue,
    filter: Option<Box<AnswerFilter>>,
    pooled: PooledConnection,
    mut exchange: Exchange,
    state: &Rc<StreamState>,
) -> Answer {
    let (mut parts, incoming) = response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        exchange.set_status(ResponseStatus::Http(parts.status));
        return switch(
            parts,
            request_id,
            Tunnel::new(pooled.into_io(), exchange),
            state,
        );
    }
    let is_grpc = state.api.get().is_grpc();
    let has_code = is_grpc && GrpcCode::is_in(&parts.headers);
    let code_due = is_grpc && !has_code && parts.status.is_success();
    if has_code {
        exchange.answered(GrpcCode::of(&parts.headers));
    } else if code_due {
        // The gRPC status is in the trailers. Without them, the response is incomplete.
        exchange.set_outcome(Outcome::UpstreamReset);
    } else {
        exchange.set_status(ResponseStatus::Http(parts.status));
        exchange.set_outcome(Outcome::of_status(parts.status));
    }
    headers::to_downstream(&mut parts.headers, request_id, state.connection());
    if filter
        .as_ref()
        .is_some_and(|filter| filter.changes_length())
    {
        parts.headers.remove(CONTENT_LENGTH);
    }
    let mut body = ResponseBody::upstream(incoming, filter, pooled, exchange, state.clone());
    if code_due {
        body = body.before_status();
    }
    parts.version = Version::HTTP_11;
    Response::from_parts(parts, body)
}

/// On 101, the caller's connection becomes a tunnel once the response is flushed.
fn switch(
    mut parts: ResponseParts,
    request_id: HeaderValue,
    tunnel: Tunnel,
    state: &Rc<StreamState>,
) -> Answer {
    let protocol = parts.headers.get(UPGRADE).cloned();
    headers::to_downstream(&mut parts.headers, request_id, state.connection());
    if let Some(protocol) = &protocol {
        headers::write_upgrade(&mut parts.headers, protocol);
    }
    parts.version = Version::HTTP_11;
    Response::from_parts(parts, ResponseBody::switch(tunnel, state.clone()))
}

/// Runs `work` until it is done or the deadline has passed. It is passed pinned, because by value
/// the future would hold it twice.
async fn within_limits<T>(
    state: &StreamState,
    mut work: Pin<&mut impl Future<Output = Result<T, ProxyError>>>,
) -> Result<T, ProxyError> {
    poll_fn(|cx| {
        if state.deadline.take_expired() {
            let error = match state.blame() {
                _ if state.is_cancelled() => ProxyError::Cancelled,
                _ if state.deadline.is_past_callers_limit() => ProxyError::PastDeadline,
                Outcome::CallerSlow => ProxyError::CallerSlow,
                _ => ProxyError::UpstreamSlow(state.deadline.passed_limit()),
            };
            return Poll::Ready(Err(error));
        }
        work.as_mut().poll(cx)
    })
    .await
}

/// Answers with an error before the request's model is known.
fn reject(error: &ProxyError, mut trace: EarlyTrace, state: &Rc<StreamState>) -> Answer {
    // If the caller has left, the trace ends by itself.
    if !matches!(error, ProxyError::CallerGone)
        && let Some(trace) = trace.take()
    {
        trace.refused(error_status(error, state));
    }
    fail(error, None, state)
}

/// The status of an error in the caller's API.
fn error_status(error: &ProxyError, state: &StreamState) -> ResponseStatus {
    let details = error.details();
    match state.api.get().method_type() {
        MethodType::Grpc => ResponseStatus::Grpc(details.code),
        MethodType::Rest => ResponseStatus::Http(details.status),
    }
}

fn traced_caller(connection: &Connection) -> TracedCaller {
    TracedCaller {
        address: connection.peer.clone(),
        scheme: match connection.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        },
        version: match connection.version {
            HttpVersion::Http1 => "1.1",
            HttpVersion::Http2 => "2",
        },
    }
}

fn fail(error: &ProxyError, exchange: Option<Exchange>, state: &Rc<StreamState>) -> Answer {
    let api = state.api.get();
    let exchange = exchange.map(|mut exchange| {
        exchange.set_status(error_status(error, state));
        if let Some(outcome) = error.details().outcome {
            exchange.set_outcome(outcome);
        }
        exchange
    });
    local_reply(api.error(error).into(), exchange, state)
}

fn local_reply(reply: LocalReply, exchange: Option<Exchange>, state: &Rc<StreamState>) -> Answer {
    let LocalReply { response, trailers } = reply;
    response.map(|bytes| ResponseBody::local(bytes, trailers, exchange, state.clone()))
}

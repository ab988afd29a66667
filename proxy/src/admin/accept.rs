//! The connections of the admin address, from accepting them to their end.

use std::{convert::Infallible, error::Error, net::IpAddr, sync::Arc, time::Duration};

use http::{Request, Response, StatusCode, header};
use hyper::{
    body::{Body as _, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};
use tonic::{Status, body::Body};

use super::{
    Service,
    connections::{AdminConnection, AnswerKind, Connections},
    error,
    keda::{self, Keda},
    permitted::Permitted,
    whole,
};
use crate::net::{HttpVersion, Transport, detect};

/// A connection that sends no complete request header within this time is closed.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection is closed if its peer does not read sent bytes for this many milliseconds.
const UNREAD_TIMEOUT: u32 = 30_000;
/// Most bytes buffered for a connection in each direction.
const BUFFER: usize = 64 * 1024;
/// Most HTTP/2 streams at once on a connection. Above KEDA's limit, so that a KEDA client at that
/// limit gets an error that names it instead of waiting for a stream.
const STREAMS: u32 = keda::STREAMS as u32 + 4_096;
/// Most bytes of an HTTP/2 header list.
const HEADER_BYTES: u32 = 16 * 1024;
/// HTTP/2 streams reset before they were accepted, after which the connection is closed.
const RESETS: usize = 20;
/// HTTP/2 keep-alive: a ping every 30 s; the connection closes if none is answered within 10 s.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(10);
/// Delay after an accept error, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
/// After an upgrade: how long a connection may take to finish its current response.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves connections of `listener` until `stop` is `true`, because a successor process has taken
/// over the address.
pub(super) async fn serve(
    service: Service,
    keda: &Arc<Keda>,
    listener: TcpListener,
    stop: &watch::Receiver<bool>,
) {
    tokio::select! {
        () = accept(Arc::new(service), keda, listener, stop) => {}
        () = stopped(stop.clone()) => {}
    }
}

/// Returns once `stop` is `true`.
async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|&stop| stop).await.is_err() {
        // The sender is gone: it will never become `true`.
        std::future::pending().await
    }
}

async fn accept(
    service: Arc<Service>,
    keda: &Arc<Keda>,
    listener: TcpListener,
    stop: &watch::Receiver<bool>,
) {
    let connections = Arc::new(Connections::new());
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let Some(connection) = connections.admit() else {
                    continue;
                };
                // Otherwise a small update of the counts waits for the ACK of the previous one
                // (Nagle).
                let _ = stream.set_nodelay(true);
                let _ = setsockopt(&stream, TcpUserTimeout, &UNREAD_TIMEOUT);
                let (service, keda) = (service.clone(), keda.clone());
                let (connection, stop) = (Arc::new(connection), stopped(stop.clone()));
                tokio::spawn(async move {
                    tokio::select! {
                        ended = converse(stream, service, keda, &connection) => if let Err(error) = ended {
                            tracing::debug!(error, "an admin connection ended with an error");
                        },
                        () = connection.closed() => {}
                        () = async { stop.await; sleep(LAST_WORDS).await } => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection on the admin address");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(
    stream: TcpStream,
    service: Arc<Service>,
    keda: Arc<Keda>,
    connection: &Arc<AdminConnection>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let caller = stream.peer_addr().ok().map(|address| address.ip());
    let detected = detect::version(Transport::clear(stream));
    let (io, version) = timeout(HEADER_TIMEOUT, detected).await??;
    let service = service_fn(|request: Request<Incoming>| {
        let (service, keda, connection) = (service.clone(), keda.clone(), connection.clone());
        // Boxed, so that its memory is freed when the response is ready. Its task lives as long as
        // the stream.
        Box::pin(async move {
            Ok::<_, Infallible>(if is_grpc(&request) {
                call(&keda, request, &connection).await
            } else {
                answer(&service, request, caller, &connection).await
            })
        })
    });
    let io = TokioIo::new(io);
    match version {
        HttpVersion::Http1 => {
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .max_buf_size(BUFFER)
                .serve_connection(io, service)
                .await?;
        }
        HttpVersion::Http2 => {
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(PING)
                .keep_alive_timeout(PONG)
                .max_concurrent_streams(STREAMS)
                .max_header_list_size(HEADER_BYTES)
                .max_pending_accept_reset_streams(RESETS)
                .max_send_buf_size(BUFFER)
                .serve_connection(io, service)
                .await?;
        }
    }
    Ok(())
}

/// Answers a request other than gRPC. Health checks need no permit and no turn, so nothing can delay
/// them.
async fn answer(
    service: &Service,
    request: Request<Incoming>,
    caller: Option<IpAddr>,
    connection: &AdminConnection,
) -> Response<Body> {
    let Some(kind) = Service::kind(request.uri()) else {
        return service.answer(request, caller).await;
    };
    let Some(permit) = connection.permit(kind) else {
        let refused = error(StatusCode::SERVICE_UNAVAILABLE, kind.too_many());
        return whole(refused);
    };
    service.turns.next().await;
    let is_order = !request.method().is_safe();
    let answer = service.answer(request, caller).await;
    let unsent = match answer.body().size_hint().exact() {
        // Whoever gave an order must learn what came of it; that is short.
        Some(length) if !is_order => match service.page_budget.reserve(length) {
            Some(part) => Some(part),
            None => return whole(service.page_budget.reject()),
        },
        // A stream is not complete in memory.
        _ => None,
    };
    answer.map(|body| Body::new(Permitted::new(body, permit, connection.closer(), unsent)))
}

/// gRPC needs HTTP/2: it ends with trailers.
fn is_grpc(request: &Request<Incoming>) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    request.version() == http::Version::HTTP_2
        && kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

async fn call(
    keda: &Arc<Keda>,
    request: Request<Incoming>,
    connection: &AdminConnection,
) -> Response<Body> {
    let Some(permit) = connection.permit(AnswerKind::Keda) else {
        return Status::resource_exhausted(AnswerKind::Keda.too_many()).into_http();
    };
    let path = request.uri().path().to_owned();
    let answer = match path.strip_prefix(keda::SERVICE) {
        Some(method) => keda.clone().call(method, request).await,
        None => Status::unimplemented(format!("there is no {path}; there is {}", keda::SERVICE))
            .into_http(),
    };
    answer.map(|body| Body::new(Permitted::new(body, permit, connection.closer(), None)))
}

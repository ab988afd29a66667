//! HTTP/1.1 to callers, by hyper: one request after the other, all of it in the
//! connection's own task.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    task::Poll,
};

use http::{HeaderValue, header::CONNECTION};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use pingora_core::{protocols::Stream, server::ShutdownWatch};

use super::{Call, Connection, DataPlane, LINGER, Phase, io::WatchedIo, watchdog::Watchdog};
use crate::{body::Received, request, transport::Transport};

/// Serves one connection to its end.
pub(super) async fn serve(
    plane: Arc<DataPlane>,
    io: Transport<Stream>,
    connection: Rc<Connection>,
    mut shutdown: ShutdownWatch,
) {
    // Its first header block is expected, and has partly come.
    let call = Rc::new(Call::new(connection.clone(), Phase::Head));
    let service = service_fn(|request: http::Request<Incoming>| {
        let (plane, call) = (plane.clone(), call.clone());
        async move {
            let request = request.map(Received::Http1);
            let mut answer = request::handle(&plane, &call, request).await;
            if call.connection().is_closing() {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(CONNECTION, close);
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let io = TokioIo::new(WatchedIo::http1(io, call.clone()));
    let mut http = http1::Builder::new()
        .max_headers(plane.limits.header_fields)
        .max_header_size(plane.limits.header_bytes)
        .serve_connection(io, service);
    let mut watchdog = Watchdog::new(call.deadline());
    let asked_to_stop = shutdown.clone();
    let mut drain = pin!(shutdown.wait_for(|&draining| draining));
    let mut drain_awaited = false;

    poll_fn(|cx| {
        // One poll registers this task's waker, which stays the same; what it
        // is woken for is then seen in the flag, without the channel's lock.
        if !drain_awaited {
            drain_awaited = true;
            let _ = drain.as_mut().poll(cx);
        }
        if plane.draining.load(Ordering::Relaxed) && !connection.is_closing() {
            connection.close_after_this();
            call.linger(LINGER);
        }
        loop {
            if Pin::new(&mut http).poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if call.take_expired() {
                // Nobody answered for it.
                return Poll::Ready(());
            }
            if watchdog.poll(cx, || call.deadline()).is_pending() {
                return Poll::Pending;
            }
            call.expire();
            match call.phase() {
                // Nothing to answer, or too late for it.
                Phase::Idle | Phase::Head | Phase::Streaming => return Poll::Ready(()),
                // The request finds that its time is up, and answers that.
                Phase::Held | Phase::Body | Phase::Response => {}
            }
        }
    })
    .await;

    if let Some(tunnel) = call.take_tunnel() {
        let parts = http.into_parts();
        let io = parts.io.into_inner().into_inner().unread(parts.read_buf);
        tunnel.run(io, &call, asked_to_stop).await;
    }
}

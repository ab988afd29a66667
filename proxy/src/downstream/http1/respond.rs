//! Answers one request.

use std::{
    future::{Future, poll_fn},
    ops::Range,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use http::{StatusCode, Version};

use super::{
    Next, ServerConnection,
    watch::{Due, Watch},
};
use crate::{
    downstream::{Downstream, Handler, ResponseStream},
    exchange::{RequestBodyState, body::Received},
    http1::{
        Http1Body,
        server::{DeliveryError, Read},
    },
    message::{Request, Response},
    protocol::cors,
};

/// How often the handler looks at new pieces of a body before other connections have their turn.
const TURNS: u32 = 32;

/// Answers a request.
pub(super) async fn respond<H: Handler>(
    downstream: &Downstream<H>,
    http: &mut ServerConnection,
    watch: &mut Watch,
    request: Request<Http1Body>,
) -> Next {
    let state = watch.state.clone();
    let body = match request.body().is_end() {
        true => RequestBodyState::Ended,
        false => RequestBodyState::Unread,
    };
    state.ask(body, request.version() == Version::HTTP_11);
    let cors = downstream.settings.cors.as_ref();
    let origin = cors.and_then(|cors| cors.allowed(request.headers()));
    let answer = {
        // Pinned here, because `await` would move it, which is expensive for its size.
        let handler = &downstream.handler;
        let mut handling = pin!(handler.handle(&state, request.map(Received::Http1)));
        poll_fn(|cx| poll_answer(downstream, http, watch, handling.as_mut(), cx)).await
    };
    let Some(mut answer) = answer else {
        return Next::Drop;
    };
    if let Some(origin) = origin {
        cors::allow(answer.headers_mut(), origin);
    }
    if state.connection().is_closing() {
        http.close_after_this();
    }
    let tunnel = match answer.status() {
        StatusCode::SWITCHING_PROTOCOLS => answer.body_mut().take_tunnel().map(Box::new),
        _ => None,
    };
    let (head, body) = answer.into_parts();
    // Its values share the memory of what was read with it: it is given back once it is written.
    let mut head = Some(head);
    let mut body = Some(body);
    let sent = poll_fn(|cx| {
        if let Some(head) = head.take()
            && let Some(mut unsent) = body.take_if(|body| !http.begin(&head, body, cx))
        {
            // A HEAD's, for example.
            unsent.complete();
        }
        poll_sent(downstream, http, watch, &mut body, cx)
    });
    match sent.await {
        Some(true) => {}
        // The response was sent as far as its body was available.
        Some(false) if state.body.get() != RequestBodyState::Ended => return Next::Linger,
        Some(false) | None => return Next::Drop,
    }
    match tunnel {
        Some(tunnel) => Next::Tunnel(tunnel),
        None if http.is_ready() => Next::Request,
        None if state.body.get() != RequestBodyState::Ended || http.has_unread() => Next::Linger,
        None => Next::Close,
    }
}

/// Ready with the answer of `handling`. `None`: the connection must be dropped.
fn poll_answer<H: Handler>(
    downstream: &Downstream<H>,
    http: &mut ServerConnection,
    watch: &mut Watch,
    mut handling: Pin<&mut impl Future<Output = Response<H::Body>>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Response<H::Body>>> {
    watch.notice_drain(downstream, cx);
    let is_complete = http.has_whole_request();
    // First, so that a caller that has left after its request is noticed before it is answered.
    if http.poll_read(cx) == Poll::Ready(Read::Closed) {
        return Poll::Ready(None);
    }
    let mut turns = 0..TURNS;
    loop {
        if let Poll::Ready(answer) = handling.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        let goes_on = match is_complete {
            // What may follow it is watched for since the read above.
            true => ready!(watch.poll_due(downstream, cx)) == Due::Answer,
            false => ready!(poll_beside(downstream, http, watch, &mut turns, cx)),
        };
        if !goes_on {
            return Poll::Ready(None);
        }
    }
}

/// Ready when the response was sent, with whether it is complete. `None`: the connection must be
/// dropped.
fn poll_sent<H: Handler>(
    downstream: &Downstream<H>,
    http: &mut ServerConnection,
    watch: &mut Watch,
    body: &mut Option<H::Body>,
    cx: &mut Context<'_>,
) -> Poll<Option<bool>> {
    watch.notice_drain(downstream, cx);
    let mut turns = 0..TURNS;
    loop {
        match http.poll_send(body, cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(Some(true)),
            Poll::Ready(Err(DeliveryError::Body(_) | DeliveryError::Length)) => {
                return Poll::Ready(Some(false));
            }
            Poll::Ready(Err(DeliveryError::Io(_))) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        if watch.state.connection().write_blocked.get()
            && let Some(body) = body
        {
            // The body is not polled for more now. The request's body must go on meanwhile, or the
            // two sides could wait for each other.
            body.drive(cx);
        }
        if !ready!(poll_beside(downstream, http, watch, &mut turns, cx)) {
            return Poll::Ready(None);
        }
    }
}

/// What goes on beside the answer to a request. Ready with whether the request can make progress now;
/// `false`: the connection must be dropped. `turns`: how often it still may in this poll.
fn poll_beside<H>(
    downstream: &Downstream<H>,
    http: &mut ServerConnection,
    watch: &mut Watch,
    turns: &mut Range<u32>,
    cx: &mut Context<'_>,
) -> Poll<bool> {
    match http.poll_read(cx) {
        Poll::Ready(Read::Body) if turns.next().is_some() => return Poll::Ready(true),
        Poll::Ready(Read::Body) => cx.waker().wake_by_ref(),
        Poll::Ready(Read::Closed) => return Poll::Ready(false),
        Poll::Pending => {}
    }
    let due = watch.poll_due(downstream, cx);
    due.map(|due| due == Due::Answer)
}

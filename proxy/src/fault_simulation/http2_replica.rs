//! Simulated replicas by HTTP/2.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::{HeaderMap, Method, Request, Response};
use tokio::time::sleep;

use super::{
    World,
    ask::{ID, LENGTH, body, is_of},
    http2_caller::send_all,
    manner::Manner,
    world::spawn,
};
use crate::net::simulated::{Link, Stream};

/// Answers requests until the connection ends.
pub(super) async fn serve(world: &Rc<World>, stream: Stream, link: &Arc<Link>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (world, link) = (world.clone(), link.clone());
        spawn(async move {
            // An error means that the stream ended early.
            let _ = answer(&world, request, respond, &link).await;
        });
    }
}

async fn answer(
    world: &Rc<World>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    link: &Arc<Link>,
) -> Option<()> {
    let manner = Manner::draw(world);
    let number = |fields: &HeaderMap, name| fields.get(name)?.to_str().ok()?.parse::<u64>().ok();
    let fields = request.headers();
    let (Some(id), Some(length)) = (number(fields, ID), number(fields, LENGTH)) else {
        world.violated(format!(
            "a replica got a request that nobody sent: {request:?}"
        ));
        return None;
    };
    let is_post = request.method() == Method::POST;
    let mut incoming = request.into_body();
    if !manner.is_early {
        let mut come = 0;
        while let Some(piece) = incoming.data().await {
            let piece = piece.ok()?;
            if !is_of(id, false, come, &piece) {
                world.violated(format!("a replica got other bytes for request {id}"));
            }
            come += piece.len();
            incoming.flow_control().release_capacity(piece.len()).ok()?;
        }
        incoming.trailers().await.ok()?;
        if come as u64 != length {
            world.violated(format!(
                "a replica got {come} bytes of request {id} for all {length}"
            ));
        }
        if !manner.refuses {
            world.begins(id, is_post, link);
        }
    }
    sleep(manner.works).await;
    let head = Response::builder();
    if manner.refuses {
        let head = head.status(503).header("retry-after", 1).body(()).ok()?;
        respond.send_response(head, true).ok()?;
        return Some(());
    }
    let head = head.header(ID, id).header(LENGTH, manner.answer);
    let head = head.body(()).ok()?;
    if manner.breaks_off == Some(0) {
        respond.send_reset(Reason::INTERNAL_ERROR);
        return None;
    }
    let mut stream = respond.send_response(head, manner.answer == 0).ok()?;
    let mut out = body(id, true, manner.answer);
    out.truncate(manner.breaks_off.unwrap_or(manner.answer));
    send_all(&mut stream, out.into(), manner.breaks_off.is_none()).await?;
    if manner.breaks_off.is_some() {
        stream.send_reset(Reason::INTERNAL_ERROR);
    }
    Some(())
}

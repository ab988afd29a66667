//! Simulated callers by HTTP/2: all requests of a connection at once.

use std::{future::poll_fn, rc::Rc, time::Duration};

use bytes::Bytes;
use h2::{RecvStream, SendStream, client::SendRequest};
use http::{HeaderMap, Request, Response};
use tokio::time::{Instant, sleep, timeout};

use super::{
    World,
    ask::{Ask, End, ID, LENGTH, body, is_of},
    callers::{concluded, connect, limit},
    world::spawn,
};
use crate::simulation::DataPlane;

/// One caller's connection, from its opening to its end.
pub(super) async fn run(world: Rc<World>, data_plane: Rc<DataPlane>, asks: Vec<Ask>) {
    let Some((stream, silence)) = connect(&world, &data_plane) else {
        return world.count("refused");
    };
    let all = async {
        let Ok((sender, connection)) = h2::client::handshake(stream).await else {
            return;
        };
        let driven = spawn(async move { drop(connection.await) });
        let each = asks.iter().map(|ask| {
            let (world, ask, sender) = (world.clone(), ask.clone(), sender.clone());
            spawn(async move { exchange(&world, &ask, sender, silence).await })
        });
        for one in each.collect::<Vec<_>>() {
            if let Err(panic) = one.await {
                world.violated(format!("a caller by HTTP/2: {panic}"));
            }
        }
        driven.abort();
    };
    all.await;
}

async fn exchange(world: &Rc<World>, ask: &Ask, sender: SendRequest<Bytes>, silence: Duration) {
    let begun = Instant::now();
    let asked = asked(world, ask, sender);
    let end = match ask.leaves_after {
        Some(time) => timeout(time, asked).await.unwrap_or(End::Left),
        None => match timeout(limit(world, ask, silence), asked).await {
            Ok(end) => end,
            Err(_) => {
                let waited = begun.elapsed();
                world.violated(format!(
                    "request {} by HTTP/2 was neither answered nor closed within {waited:?}",
                    ask.id
                ));
                End::Left
            }
        },
    };
    concluded(world, ask, &end);
}

async fn asked(world: &Rc<World>, ask: &Ask, sender: SendRequest<Bytes>) -> End {
    let Ok(mut sender) = sender.ready().await else {
        return End::Closed;
    };
    let request = Request::builder()
        .method(ask.method())
        .uri(format!("http://t{}", ask.path()))
        .header(ID, ask.id)
        .header(LENGTH, ask.body)
        .body(())
        .unwrap();
    let Ok((answer, stream)) = sender.send_request(request, ask.body == 0) else {
        return End::Closed;
    };
    let sending = ask.clone();
    let sending = spawn(async move { send(&sending, stream).await });
    let end = match answer.await {
        Ok(answer) => read(world, ask, answer).await,
        Err(_) => End::Closed,
    };
    sending.abort();
    end
}

async fn send(ask: &Ask, mut stream: SendStream<Bytes>) {
    let body = body(ask.id, false, ask.body);
    let length = body.len().div_ceil(ask.pieces).max(1);
    let mut pieces = body.chunks(length).peekable();
    while let Some(piece) = pieces.next() {
        sleep(ask.pause).await;
        let is_last = pieces.peek().is_none();
        if send_all(&mut stream, Bytes::copy_from_slice(piece), is_last)
            .await
            .is_none()
        {
            return;
        }
    }
}

/// Sends `bytes` as the flow-control window allows. `None`: the stream has ended.
pub(super) async fn send_all(
    stream: &mut SendStream<Bytes>,
    mut bytes: Bytes,
    is_last: bool,
) -> Option<()> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let window = poll_fn(|cx| stream.poll_capacity(cx)).await?.ok()?;
        let now = bytes.split_to(window.min(bytes.len()));
        let ends = is_last && bytes.is_empty();
        if !now.is_empty() {
            stream.send_data(now, ends).ok()?;
        }
    }
    Some(())
}

fn number(fields: &HeaderMap, name: &str) -> Option<u64> {
    fields.get(name)?.to_str().ok()?.parse().ok()
}

async fn read(world: &World, ask: &Ask, answer: Response<RecvStream>) -> End {
    let status = answer.status().as_u16();
    let is_replicas = number(answer.headers(), ID);
    if is_replicas.is_some_and(|id| id != ask.id) || status == 200 && is_replicas.is_none() {
        world.violated(format!(
            "request {} got the answer of {is_replicas:?}",
            ask.id
        ));
    }
    let announced = number(answer.headers(), LENGTH);
    let mut body = answer.into_body();
    let mut length = 0;
    while let Some(piece) = body.data().await {
        let Ok(piece) = piece else {
            return End::Broken(status);
        };
        if length == 0 {
            sleep(ask.reads_late).await;
        }
        if is_replicas.is_some() && !is_of(ask.id, true, length, &piece) {
            world.violated(format!("the answer to request {} is another one", ask.id));
        }
        length += piece.len();
        let _ = body.flow_control().release_capacity(piece.len());
    }
    // Otherwise a reset after the last byte of data would look like the end of the stream.
    if body.trailers().await.is_err() {
        return End::Broken(status);
    }
    if announced.is_some_and(|announced| announced != length as u64) {
        world.violated(format!(
            "{length} bytes of {announced:?} passed for the whole answer to request {}",
            ask.id
        ));
    }
    End::Answered(status)
}

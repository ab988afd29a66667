//! Simulated callers by HTTP/1.1: a few requests on a connection, one after the other.

use std::{cell::Cell, future::poll_fn, io, pin::pin, rc::Rc, task::Poll, time::Duration};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt, ReadHalf, split},
    time::{Instant, sleep, timeout},
};

use super::{
    World,
    ask::{Ask, End, ID, LENGTH, body, is_of},
    callers::{concluded, connect, limit},
    http1_text::{Framing, Reader, chunk},
};
use crate::{net::simulated::Stream, simulation::DataPlane};

/// One caller's connection, from its opening to its end.
pub(super) async fn run(world: Rc<World>, data_plane: Rc<DataPlane>, asks: Vec<Ask>) {
    let Some((stream, silence)) = connect(&world, &data_plane) else {
        return world.count("refused");
    };
    let (read, mut write) = split(stream);
    let mut reader = Reader::new(read);
    for ask in asks {
        let begun = Instant::now();
        reader.pause = ask.reads_late;
        let exchange = exchange(&world, &ask, &mut reader, &mut write);
        let (end, goes_on) = match ask.leaves_after {
            Some(time) => match timeout(time, exchange).await {
                Ok(ended) => ended,
                Err(_) => (End::Left, false),
            },
            None => match timeout(limit(&world, &ask, silence), exchange).await {
                Ok(ended) => ended,
                Err(_) => {
                    let waited = begun.elapsed();
                    world.violated(format!(
                        "request {} was neither answered nor closed within {waited:?}",
                        ask.id
                    ));
                    (End::Left, false)
                }
            },
        };
        concluded(&world, &ask, &end);
        if !goes_on || ask.half_closes {
            return;
        }
        // Sometimes long enough for the connection to rest.
        let idle = if world.chance(0.2) { 8_000 } else { 100 };
        sleep(world.milliseconds(0..=idle)).await;
    }
}

/// Sends the request and reads the response at the same time. Returns the result, and whether the
/// connection can be used again.
async fn exchange(
    world: &World,
    ask: &Ask,
    reader: &mut Reader<ReadHalf<Stream>>,
    write: &mut (impl AsyncWrite + Unpin),
) -> (End, bool) {
    let is_sent = Cell::new(false);
    let mut sending = pin!(async {
        // A failure to send shows in the response.
        is_sent.set(send(ask, write).await.is_ok());
    });
    let mut reading = pin!(read(world, ask, reader));
    let mut has_ended = false;
    let (end, is_kept) = poll_fn(|cx| {
        if !has_ended {
            has_ended = sending.as_mut().poll(cx).is_ready();
        }
        match reading.as_mut().poll(cx) {
            Poll::Ready(read) => Poll::Ready(read),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    (end, is_kept && is_sent.get())
}

async fn send(ask: &Ask, write: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let framing = match (ask.is_post, ask.is_chunked) {
        (false, _) => String::new(),
        (true, true) => "transfer-encoding: chunked\r\n".to_owned(),
        (true, false) => format!("content-length: {}\r\n", ask.body),
    };
    let head = format!(
        "{} {} HTTP/1.1\r\nhost: t\r\n{ID}: {}\r\n{LENGTH}: {}\r\n{framing}\r\n",
        ask.method(),
        ask.path(),
        ask.id,
        ask.body,
    );
    write.write_all(head.as_bytes()).await?;
    let body = body(ask.id, false, ask.body);
    let length = body.len().div_ceil(ask.pieces).max(1);
    for piece in body.chunks(length) {
        if !ask.pause.is_zero() {
            sleep(ask.pause).await;
        }
        match ask.is_chunked {
            true => write.write_all(&chunk(piece)).await?,
            false => write.write_all(piece).await?,
        }
    }
    if ask.is_post && ask.is_chunked {
        write.write_all(b"0\r\n\r\n").await?;
    }
    if ask.half_closes {
        write.shutdown().await?;
    }
    Ok(())
}

/// Reads the response. Returns the result, and whether another response could follow.
async fn read(world: &World, ask: &Ask, reader: &mut Reader<ReadHalf<Stream>>) -> (End, bool) {
    let head = loop {
        match reader.head().await {
            Ok(Some(head)) if head.words.get(1).is_some_and(|status| status == "100") => {}
            Ok(Some(head)) => break head,
            Ok(None) => return (End::Closed, false),
            Err(why) => {
                if why.kind() == io::ErrorKind::InvalidData {
                    world.violated(format!("the answer to request {}: {why}", ask.id));
                }
                return (End::Closed, false);
            }
        }
    };
    let status = head.words.get(1).and_then(|status| status.parse().ok());
    let Some(status) = status else {
        world.violated(format!("the answer to request {} has no status", ask.id));
        return (End::Closed, false);
    };
    let is_replicas = head.number(ID);
    if is_replicas.is_some_and(|id| id != ask.id) || status == 200 && is_replicas.is_none() {
        world.violated(format!(
            "request {} got the answer of {is_replicas:?}",
            ask.id
        ));
    }
    let framing = head.framing(Framing::Close);
    let (mut length, mut is_own) = (0, true);
    let read = reader.body(framing, |bytes| {
        is_own &= is_replicas.is_none() || is_of(ask.id, true, length, bytes);
        length += bytes.len();
    });
    let read = read.await;
    if !is_own {
        world.violated(format!("the answer to request {} is another one", ask.id));
    }
    match read {
        Ok(()) => {
            if (head.number(LENGTH)).is_some_and(|announced| announced != length as u64) {
                world.violated(format!(
                    "{length} bytes of {:?} passed for the whole answer to request {}",
                    head.number(LENGTH),
                    ask.id
                ));
            }
            let is_kept = framing != Framing::Close && !head.closes();
            if reader.has_rest() {
                world.violated(format!(
                    "there is more behind the answer to request {}",
                    ask.id
                ));
            }
            (End::Answered(status), is_kept)
        }
        Err(why) => {
            if why.kind() == io::ErrorKind::InvalidData {
                world.violated(format!("the answer to request {}: {why}", ask.id));
            }
            (End::Broken(status), false)
        }
    }
}

/// Sends one request for `model` on its own connection, without faults. Returns the status.
pub(super) async fn ask_once(
    world: &Rc<World>,
    data_plane: &DataPlane,
    model: &'static str,
    most: Duration,
) -> Option<u16> {
    let (stream, _) = connect(world, data_plane)?;
    let (read, mut write) = split(stream);
    let ask = Ask {
        model,
        leaves_after: None,
        half_closes: false,
        ..Ask::draw(world)
    };
    let mut reader = Reader::new(read);
    let exchange = exchange(world, &ask, &mut reader, &mut write);
    match timeout(most, exchange).await.ok()? {
        (End::Answered(status), _) => Some(status),
        _ => None,
    }
}

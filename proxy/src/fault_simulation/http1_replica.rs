//! Simulated replicas by HTTP/1.1.

use std::{io, rc::Rc, sync::Arc};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt, split},
    time::sleep,
};

use super::{
    World,
    ask::{ID, LENGTH, body, is_of},
    http1_text::{Framing, Reader, chunk},
    manner::Manner,
};
use crate::net::simulated::{Link, Stream};

/// Bytes of a response that are written at once.
const PIECE: usize = 40_000;

/// Answers requests until the connection ends.
pub(super) async fn serve(world: &Rc<World>, stream: Stream, link: &Arc<Link>) {
    if let Err(why) = answer_all(world, stream, link).await
        && why.kind() == io::ErrorKind::InvalidData
    {
        world.violated(format!("a replica by HTTP/1.1 got: {why}"));
    }
}

async fn answer_all(world: &Rc<World>, stream: Stream, link: &Arc<Link>) -> io::Result<()> {
    let (read, mut write) = split(stream);
    let mut reader = Reader::new(read);
    while let Some(head) = reader.head().await? {
        let manner = Manner::draw(world);
        let (Some(id), Some(length)) = (head.number(ID), head.number(LENGTH)) else {
            world.violated(format!("a replica got a head that nobody sent: {head:?}"));
            return Ok(());
        };
        if !manner.is_early {
            let (mut come, mut is_own) = (0, true);
            let framing = head.framing(Framing::Length(0));
            let body = reader.body(framing, |bytes| {
                is_own &= is_of(id, false, come, bytes);
                come += bytes.len();
            });
            let whole = body.await;
            if !is_own || whole.is_ok() && come as u64 != length {
                world.violated(format!(
                    "a replica got {come} bytes for request {id} of {length}, or others"
                ));
            }
            whole?;
            if !manner.refuses {
                world.begins(
                    id,
                    head.words.first().is_some_and(|word| word == "POST"),
                    link,
                );
            }
        }
        for _ in 0..manner.interim {
            write
                .write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
                .await?;
        }
        sleep(manner.works).await;
        if manner.refuses {
            let refusal =
                "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
            write.write_all(refusal.as_bytes()).await?;
        } else {
            let is_kept = answer(id, manner, &mut write).await?;
            if manner.breaks_off.is_some() {
                link.reset();
            }
            if !is_kept || manner.closes {
                return write.shutdown().await;
            }
        }
        if manner.is_early {
            // The replica has not read the rest.
            return Ok(());
        }
    }
    Ok(())
}

/// Sends the response. Returns whether another request may follow.
async fn answer(
    id: u64,
    manner: Manner,
    write: &mut (impl AsyncWrite + Unpin),
) -> io::Result<bool> {
    let Manner {
        answer: length,
        framing,
        ..
    } = manner;
    let fields = match framing {
        0 => "transfer-encoding: chunked".to_owned(),
        1 => "connection: close".to_owned(),
        _ => format!("content-length: {length}"),
    };
    let head = format!("HTTP/1.1 200 OK\r\n{ID}: {id}\r\n{LENGTH}: {length}\r\n{fields}\r\n\r\n");
    if manner.breaks_off == Some(0) {
        return Ok(true);
    }
    write.write_all(head.as_bytes()).await?;
    let mut body = body(id, true, length);
    body.truncate(manner.breaks_off.unwrap_or(length));
    for piece in body.chunks(PIECE) {
        match framing {
            0 => write.write_all(&chunk(piece)).await?,
            _ => write.write_all(piece).await?,
        }
    }
    if framing == 0 && manner.breaks_off.is_none() {
        write.write_all(b"0\r\n\r\n").await?;
    }
    Ok(framing != 1)
}

//! Subscribes to another proxy's counts: `GET /ledgers` on its admin address. Reconnects after a
//! failure.

use std::{net::SocketAddr, time::Duration};

use bytes::{Buf, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::HOST,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{MembershipEvent, counts_update::CountsUpdate};
use crate::clock::Nanos;

/// A proxy that sends nothing for this long is lost. It should send a line each second.
const SILENCE: Duration = Duration::from_secs(3);
/// Time limit for the connection and the response's head.
const CONNECT: Duration = Duration::from_secs(1);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Longest line, in bytes; a model takes some 150 of them.
const LONGEST_LINE: usize = 16 * 1024 * 1024;

/// Sends the updates of the proxy at `address` to `events`, until its receiver is dropped.
pub(super) async fn subscribe(address: SocketAddr, events: mpsc::UnboundedSender<MembershipEvent>) {
    let mut wait = FIRST_WAIT;
    let mut logged = None;
    loop {
        let mut connected = false;
        let Err(why) = receive(address, &events, &mut connected).await else {
            return;
        };
        if connected {
            wait = FIRST_WAIT;
            if events.send(MembershipEvent::Lost { address }).is_err() {
                return;
            }
        }
        if connected || logged.as_ref() != Some(&why) {
            tracing::warn!(peer = %address, "no counts from another proxy: {why}");
            logged = Some(why);
        }
        sleep(wait.mul_f64(0.75 + 0.5 * fastrand::f64())).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Receives updates over one connection. Returns `Ok` if the receiver of `events` is dropped, or
/// why the connection has ended.
async fn receive(
    address: SocketAddr,
    events: &mpsc::UnboundedSender<MembershipEvent>,
    connected: &mut bool,
) -> Result<(), String> {
    let asked = timeout(CONNECT, ask(address));
    let slow = |_| format!("no response within {} s", CONNECT.as_secs());
    let mut body = asked.await.map_err(slow)??.into_body();
    let mut rest = BytesMut::new();
    loop {
        let silent = |_| format!("it has sent nothing for {} s", SILENCE.as_secs());
        let Some(frame) = timeout(SILENCE, body.frame()).await.map_err(silent)? else {
            return Err("it has closed the stream".into());
        };
        let frame = frame.map_err(|e| format!("the connection has failed: {e}"))?;
        rest.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let update = CountsUpdate::parse(&rest[..end]).map_err(|e| e.to_string())?;
            rest.advance(end + 1);
            if !std::mem::replace(connected, true) {
                tracing::info!(peer = %address, instance = update.instance, "connected");
            }
            let at = Nanos::now();
            if events
                .send(MembershipEvent::Update {
                    address,
                    update,
                    at,
                })
                .is_err()
            {
                return Ok(());
            }
        }
        if rest.len() > LONGEST_LINE {
            return Err(format!(
                "it has sent a line of more than {LONGEST_LINE} bytes"
            ));
        }
    }
}

async fn ask(address: SocketAddr) -> Result<Response<Incoming>, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|e| format!("cannot connect: {e}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| e.to_string())?;
    // Ends when the response's body is dropped.
    tokio::spawn(connection);
    let request = Request::get("/ledgers")
        .header(HOST, address.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|e| e.to_string())?;
    let response = sender.send_request(request).await;
    let response = response.map_err(|e| format!("no response: {e}"))?;
    if response.status().is_success() {
        return Ok(response);
    }
    Err(format!(
        "GET /ledgers answered {}; expected 200 from a Tailback on its admin address",
        response.status()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    /// The events from a proxy that answers each connection with one of `answers`.
    async fn events_from(answers: &'static [&'static str]) -> Vec<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 1024]).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let (sender, mut events) = mpsc::unbounded_channel();
        let task = tokio::spawn(subscribe(address, sender));
        let mut seen = Vec::new();
        let lost = answers.iter().filter(|a| a.contains("instance")).count();
        while seen.iter().filter(|&event| event == "lost").count() < lost {
            seen.push(match events.recv().await.unwrap() {
                MembershipEvent::Update { update, .. } => {
                    format!("{} {}", update.instance, update.at)
                }
                MembershipEvent::Lost { .. } => "lost".into(),
                other => format!("{other:?}"),
            });
        }
        task.abort();
        seen
    }

    #[tokio::test]
    async fn updates_are_passed_on_as_they_come_and_lost_connections_are_made_again() {
        let seen = events_from(&[
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n\
             {\"instance\":\"a\",\"at\":1,\"leads\":false,\"models\":{}}\n\
             {\"instance\":\"a\",\"at\":2,\"leads\":false,\"models\":{}}\n{\"inst",
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n\
             {\"instance\":\"b\",\"at\":3,\"leads\":false,\"models\":{}}\nnonsense\n",
        ])
        .await;
        assert_eq!(seen, ["a 1", "a 2", "lost", "b 3", "lost"]);
    }
}

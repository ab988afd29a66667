//! Whatever frames a replica sends by HTTP/2: no request gets more than its own answer, and everything comes to
//! an end.

#![no_main]

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use http::{Method, uri::Scheme};
use libfuzzer_sys::fuzz_target;
use tailback::{
    http2::{Http2Client, Http2Limits, Http2RequestHead},
    message::HeaderMap,
};
use tailback_fuzz::{Frame, pieces};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const LIMITS: Http2Limits = Http2Limits {
    streams: 100,
    stream_window: 4096,
    window: 65_535,
    header_bytes: 4096,
    header_fields: 20,
    early_resets: usize::MAX,
    errors: 10,
};

/// A replica that sends these pieces, one at each poll, and takes what it gets.
struct Replica(VecDeque<Vec<u8>>);

impl AsyncRead for Replica {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.0.pop_front() {
            Some(piece) if piece.is_empty() => return Poll::Pending,
            Some(mut piece) => {
                let rest = piece.split_off(piece.len().min(buf.remaining()));
                buf.put_slice(&piece);
                if !rest.is_empty() {
                    self.0.push_front(rest);
                }
            }
            // The end of the connection.
            None => {}
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replica {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fuzz_target!(|frames: Vec<Frame>| {
    let cx = &mut Context::from_waker(Waker::noop());
    let mut all = VecDeque::from(pieces(b"", &frames));
    // So that requests are sent between its SETTINGS and the rest.
    all.insert(1.min(all.len()), Vec::new());
    let (mut connection, sender) = Http2Client::new(Replica(all), LIMITS);
    let mut has_ended = connection.poll(cx).is_ready();
    let fields = HeaderMap::new();
    let mut waiting: Vec<_> = [Method::POST, Method::HEAD, Method::GET]
        .iter()
        .filter_map(|method| {
            let head = Http2RequestHead {
                method,
                scheme: &Scheme::HTTP,
                authority: b"h",
                target: "/",
                fields: fields.iter(),
            };
            let sent = sender.send(head, *method != Method::POST);
            sent.ok()
        })
        .collect();
    let mut bodies = Vec::new();
    // The last poll finds the end of the connection, and everything else with it.
    for _ in 0..frames.len() + 4 {
        has_ended = has_ended || connection.poll(cx).is_ready();
        waiting.retain_mut(|(response, _)| match response.poll(cx) {
            Poll::Pending => true,
            Poll::Ready(Ok(response)) => {
                bodies.push(response.into_body());
                false
            }
            Poll::Ready(Err(_)) => false,
        });
        bodies.retain_mut(|body| {
            while let Poll::Ready(frame) = body.poll_frame(cx) {
                match frame {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return false,
                }
            }
            true
        });
    }
    assert!(has_ended && waiting.is_empty() && bodies.is_empty());
});

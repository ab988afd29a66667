//! The same bytes are given to hyper's client and to this one, and what both read is compared.

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll},
};

use http::{HeaderName, HeaderValue, Method, StatusCode, header::CONNECTION};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncWriteExt, DuplexStream};

use super::{begin, connection, full};

type Fields = Vec<(String, Vec<u8>)>;

/// What is to be compared of an answer.
#[derive(Debug, PartialEq)]
struct Answer {
    status: StatusCode,
    fields: Fields,
    /// The body and its trailers; `None` if it broke off.
    body: Option<(Vec<u8>, Fields)>,
    /// Another request can follow.
    is_reusable: bool,
}

/// Without what only says whether the connection goes on, which ours leaves out.
fn fields<'a>(headers: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>) -> Fields {
    let says_only_that = |value: &HeaderValue| {
        let value = value.as_bytes();
        value.eq_ignore_ascii_case(b"close") || value.eq_ignore_ascii_case(b"keep-alive")
    };
    let mut all: Vec<_> = headers
        .into_iter()
        .filter(|(name, value)| *name != CONNECTION || !says_only_that(value))
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    all.sort();
    all
}

/// Writes `input` in pieces of `size`, then ends the connection if it is to be `closed`.
async fn play(mut far: DuplexStream, input: Vec<u8>, size: usize, closed: bool) -> DuplexStream {
    for piece in input.chunks(size) {
        // It may have been given up.
        let _ = far.write_all(piece).await;
        tokio::task::yield_now().await;
    }
    if closed {
        let _ = far.shutdown().await;
    }
    far
}

async fn ours(method: Method, input: Vec<u8>, size: usize, closed: bool) -> Option<Answer> {
    let (mut connection, far) = connection();
    begin(&mut connection, &method, full("body"));
    let mut far = pin!(play(far, input, size, closed));
    let mut kept = None;
    let mut play = move |cx: &mut Context<'_>| {
        if kept.is_none()
            && let Poll::Ready(far) = far.as_mut().poll(cx)
        {
            kept = Some(far);
        }
    };
    let response = poll_fn(|cx| {
        play(cx);
        connection.poll_response(cx)
    });
    let response = response.await.ok()?;
    let (head, mut body) = response.into_parts();
    let (mut data, mut trailers) = (Vec::new(), Vec::new());
    let whole = loop {
        let next = poll_fn(|cx| {
            play(cx);
            let mut polled = body.take_frame();
            if polled.is_pending() {
                connection.drive(cx);
                polled = body.take_frame();
            }
            polled
        });
        match next.await {
            None => break true,
            Some(Err(_)) => break false,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(piece) => data.extend_from_slice(&piece),
                Err(frame) => trailers = fields(frame.trailers_ref().unwrap()),
            },
        }
    };
    for _ in 0..200 {
        poll_fn(|cx| {
            play(cx);
            Poll::Ready(())
        })
        .await;
    }
    Some(Answer {
        status: head.status,
        fields: fields(&head.headers),
        body: whole.then_some((data, trailers)),
        is_reusable: whole && connection.is_ready(),
    })
}

async fn hypers(method: Method, input: Vec<u8>, size: usize, closed: bool) -> Option<Answer> {
    let (near, far) = tokio::io::duplex(1 << 20);
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(near)).await;
    let (mut sender, connection) = handshake.unwrap();
    tokio::spawn(connection);
    let request = http::Request::builder()
        .method(method)
        .uri("/")
        .header("host", "h")
        .body(full("body"))
        .unwrap();
    let far = tokio::spawn(play(far, input, size, closed));
    let response = sender.send_request(request).await.ok()?;
    let (head, mut body) = response.into_parts();
    let (mut data, mut trailers) = (Vec::new(), Vec::new());
    let whole = loop {
        match body.frame().await {
            None => break true,
            Some(Err(_)) => break false,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(piece) => data.extend_from_slice(&piece),
                Err(frame) => trailers = fields(frame.trailers_ref().unwrap()),
            },
        }
    };
    let _far = far.await;
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    Some(Answer {
        status: head.status,
        fields: fields(&head.headers),
        body: whole.then_some((data, trailers)),
        is_reusable: whole && sender.is_ready(),
    })
}

/// hyper's answer without what it leaves to its user: lengths that are there twice, and codings
/// that it does not undo.
fn as_strict(mut answer: Answer) -> Option<Answer> {
    let (mut codings, mut lengths) = (Vec::new(), Vec::new());
    for (name, value) in &answer.fields {
        match name.as_str() {
            "transfer-encoding" => codings.push(value.to_ascii_lowercase()),
            "content-length" => lengths.push(String::from_utf8_lossy(value).into_owned()),
            _ => {}
        }
    }
    if !codings.is_empty() && codings != [b"chunked"] {
        return None;
    }
    let numbers = lengths.iter().flat_map(|text| text.split(','));
    let number = |text: &str| {
        let text = text.trim();
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten()
    };
    let mut numbers: Vec<_> = numbers.map(number).collect();
    let several = numbers.len() > 1;
    numbers.dedup();
    match *numbers {
        [Some(length)] if several => {
            answer.fields.retain(|(name, _)| name != "content-length");
            let length = length.to_string().into_bytes();
            answer.fields.push(("content-length".into(), length));
            answer.fields.sort();
        }
        // Also where there is no body that it could be the length of.
        [] | [Some(_)] => {}
        _ if codings.is_empty() => return None,
        _ => {}
    }
    Some(answer)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

/// Pieces that answers are made of, well-formed and not.
fn answer() -> impl Strategy<Value = Vec<u8>> {
    let status = proptest::sample::select(vec![
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200\r\n",
        "HTTP/1.1 404 Nothing here\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 204 No Content\r\n",
        "HTTP/1.1 304 Not Modified\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
        "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 500 x\r\n",
        "HTTP/1.1 099 x\r\n",
        "HTTP/1.1 2000 x\r\n",
        "HTTP/1.1  200 x\r\n",
        "http/1.1 200 x\r\n",
        "HTTP/1.1 200 OK\n",
        "\r\nHTTP/1.1 200 OK\r\n",
    ]);
    let field = proptest::sample::select(vec![
        "content-length: 5\r\n",
        "Content-Length: 5\r\n",
        "content-length: 5, 5\r\n",
        "content-length: 6\r\n",
        "content-length: +5\r\n",
        "content-length: \r\n",
        "content-length: 0\r\n",
        "transfer-encoding: chunked\r\n",
        "Transfer-Encoding: gzip, Chunked\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, gzip\r\n",
        "transfer-encoding : chunked\r\n",
        "transfer-encoding:\tchunked \r\n",
        "connection: close\r\n",
        "connection: keep-alive\r\n",
        "connection: a, Keep-Alive\r\n",
        "x-a: \t 1 \t\r\n",
        "x-a: \u{fc}\r\n",
        "x-b:\r\n",
        "x-c: 1\n",
        "x-d: a\r\n b\r\n",
        "x-e: a\rb\r\n",
        "x f: 1\r\n",
        ": 1\r\n",
        "x-g\r\n",
    ]);
    let body = proptest::sample::select(vec![
        "",
        "hello",
        "hello!",
        "hell",
        "5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
        "5;a=b\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "05\r\nhello\r\n000\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nnot a field\r\n\r\n",
        "ffffffffffffffffff\r\nhello",
        "5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "helloHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ]);
    let whole = (status, proptest::collection::vec(field, 0..4), body);
    let text = whole.prop_map(|(status, fields, body)| {
        format!("{status}{}\r\n{body}", fields.concat()).into_bytes()
    });
    // Now and then a byte that is another one, or is not there.
    let change =
        proptest::option::weighted(0.3, (any::<proptest::sample::Index>(), any::<Option<u8>>()));
    (text, change).prop_map(|(mut text, change)| {
        if let Some((at, byte)) = change {
            let at = at.index(text.len());
            match byte {
                Some(byte) => text[at] = byte,
                None => drop(text.remove(at)),
            }
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 20 } else { 2000 }))]
    #[test]
    fn answers_are_read_as_strictly_as_hyper_reads_them(
        input in answer(),
        size in prop_oneof![1usize..8, Just(usize::MAX)],
        is_head in proptest::bool::weighted(0.1),
    ) {
        let method = if is_head { Method::HEAD } else { Method::POST };
        let runtime = runtime();
        let theirs = runtime.block_on(hypers(method.clone(), input.clone(), size, true));
        let mut theirs = theirs.and_then(as_strict);
        let found = runtime.block_on(ours(method, input.clone(), size, true));
        // hyper takes a line feed alone, which ends a chunk's line or comes behind it, for the end of no
        // trailers. Here the body breaks off.
        let has_bare = input.windows(3).any(|bytes| bytes == b"\r\n\n");
        if has_bare && found.as_ref().is_some_and(|found| found.body.is_none())
            && let Some(theirs) = &mut theirs
        {
            (theirs.body, theirs.is_reusable) = (None, false);
        }
        let text = String::from_utf8_lossy(&input);
        prop_assert_eq!(found, theirs, "{:?}", text);
    }
}

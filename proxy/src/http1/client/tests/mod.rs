//! A connection as a whole.

mod differential;

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderValue, Method};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

use super::{Http1Connection, RequestHead, ResponseError, response::HeadError};
use crate::{
    http1::{Http1Body, Http1BodyError},
    message::HeaderMap,
};

type Sent = BoxBody<Bytes, io::Error>;

fn connection() -> (Http1Connection<DuplexStream, Sent>, DuplexStream) {
    let (near, far) = tokio::io::duplex(1 << 20);
    (Http1Connection::new(near, 100), far)
}

fn full(bytes: &'static str) -> Sent {
    Full::new(Bytes::from_static(bytes.as_bytes()))
        .map_err(|never| match never {})
        .boxed()
}

fn begin(connection: &mut Http1Connection<DuplexStream, Sent>, method: &Method, body: Sent) {
    let headers = HeaderMap::from_iter([(http::header::HOST, HeaderValue::from_static("h"))]);
    let head = RequestHead {
        method,
        target: "/",
        headers: &headers,
        added: &[],
        host: None,
        upgrade: None,
    };
    connection.begin(head, body);
}

/// The next frame of `body`, for which `connection` is driven.
async fn frame(
    connection: &mut Http1Connection<DuplexStream, Sent>,
    body: &mut Http1Body,
) -> Option<Result<Frame<Bytes>, Http1BodyError>> {
    poll_fn(|cx| {
        let mut polled = body.take_frame();
        if polled.is_pending() {
            connection.drive(cx);
            polled = body.take_frame();
        }
        polled
    })
    .await
}

#[tokio::test]
async fn requests_follow_each_other_on_a_connection() {
    let (mut connection, mut far) = connection();
    let mut expected = Vec::new();
    for (sent, answer, body) in [
        (
            "abc",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            "ok",
        ),
        (
            "",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "ok",
        ),
        ("abc", "HTTP/1.1 204 No Content\r\n\r\n", ""),
    ] {
        assert!(connection.is_ready());
        begin(&mut connection, &Method::POST, full(sent));
        far.write_all(answer.as_bytes()).await.unwrap();
        let response = poll_fn(|cx| connection.poll_response(cx)).await.unwrap();
        let mut received = response.into_body();
        let mut whole = Vec::new();
        while let Some(frame) = frame(&mut connection, &mut received).await {
            whole.extend_from_slice(frame.unwrap().data_ref().unwrap());
        }
        assert_eq!(whole, body.as_bytes());
        assert!(received.is_end());
        let length = if sent.is_empty() {
            String::new()
        } else {
            "content-length: 3\r\n".into()
        };
        expected.extend_from_slice(
            format!("POST / HTTP/1.1\r\nhost: h\r\n{length}\r\n{sent}").as_bytes(),
        );
    }
    assert!(connection.is_ready());
    let mut written = vec![0; expected.len()];
    far.read_exact(&mut written).await.unwrap();
    assert_eq!(written, expected);
    drop(far);
    assert!(!connection.is_ready(), "its other end has gone");
}

/// Bytes that are written go out when they are flushed, for which it takes its time, as TLS may.
struct Lazy {
    io: DuplexStream,
    written: Vec<u8>,
    asked: bool,
}

impl AsyncRead for Lazy {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Lazy {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.asked = !self.asked;
        if self.asked {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let written = std::mem::take(&mut self.written);
        let Poll::Ready(sent) = Pin::new(&mut self.io).poll_write(cx, &written) else {
            panic!("there is room");
        };
        assert_eq!(sent?, written.len());
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn what_has_come_of_a_body_goes_out_while_more_is_awaited() {
    let (near, mut far) = tokio::io::duplex(1024);
    let lazy = Lazy {
        io: near,
        written: Vec::new(),
        asked: false,
    };
    let mut connection = Http1Connection::new(lazy, 100);
    let first = futures_util::stream::iter([Ok::<_, io::Error>(Frame::data(Bytes::from_static(
        b"first",
    )))]);
    let frames = first.chain(futures_util::stream::pending());
    let headers = HeaderMap::from_iter([(http::header::HOST, HeaderValue::from_static("h"))]);
    let head = RequestHead {
        method: &Method::POST,
        target: "/",
        headers: &headers,
        added: &[],
        host: None,
        upgrade: None,
    };
    connection.begin(head, StreamBody::new(Box::pin(frames)));
    let mut read = Vec::new();
    let sending = poll_fn(|cx| connection.poll_response(cx).map(|_| ()));
    let reading = async {
        while !read.ends_with(b"5\r\nfirst\r\n") {
            far.read_buf(&mut read).await.unwrap();
        }
    };
    tokio::select! {
        () = sending => panic!("nothing was answered"),
        () = reading => {}
    }
}

#[tokio::test]
async fn what_comes_unasked_or_behind_the_answer_ends_the_connection() {
    let (mut connection, mut far) = connection();
    far.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        .await
        .unwrap();
    assert!(!connection.is_ready());
    let (mut connection, mut far) = self::connection();
    begin(
        &mut connection,
        &Method::GET,
        Empty::new().map_err(|never| match never {}).boxed(),
    );
    far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab")
        .await
        .unwrap();
    let response = poll_fn(|cx| connection.poll_response(cx)).await.unwrap();
    let mut body = response.into_body();
    assert_eq!(
        frame(&mut connection, &mut body)
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap(),
        "a"
    );
    assert!(body.is_end() && !connection.is_ready());
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_was_sent_is_read() {
    let (near, mut far) = tokio::io::duplex(64);
    let mut connection = Http1Connection::new(near, 100);
    // More than the other end takes.
    let frames = futures_util::stream::iter(
        (0..100).map(|_| Ok::<_, io::Error>(Frame::data(Bytes::from_static(&[b'x'; 4000])))),
    );
    begin(
        &mut connection,
        &Method::POST,
        BodyExt::boxed(StreamBody::new(frames)),
    );
    far.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        .await
        .unwrap();
    let response = poll_fn(|cx| connection.poll_response(cx)).await.unwrap();
    assert_eq!(response.status(), 413);
    let mut body = response.into_body();
    drop(far);
    assert_eq!(
        frame(&mut connection, &mut body)
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap(),
        "no"
    );
    assert!(!connection.is_ready());
}

#[tokio::test]
async fn a_request_whose_body_breaks_off_ends_its_connection() {
    let (mut connection, mut far) = connection();
    let frames = futures_util::stream::iter([
        Ok(Frame::data(Bytes::from_static(b"abc"))),
        Err(io::Error::other("gone")),
    ]);
    begin(
        &mut connection,
        &Method::POST,
        BodyExt::boxed(StreamBody::new(frames)),
    );
    let failure = poll_fn(|cx| connection.poll_response(cx))
        .await
        .unwrap_err();
    assert!(matches!(failure, ResponseError::Request), "{failure}");
    drop(connection);
    let mut written = Vec::new();
    far.read_to_end(&mut written).await.unwrap();
    assert!(
        !written.ends_with(b"0\r\n\r\n"),
        "what was cut does not look whole"
    );
}

#[tokio::test]
async fn failures_are_told_apart() {
    for (input, expected) in [
        (String::new(), "closed"),
        ("HTTP/1.1 200".into(), "closed"),
        ("SSH-2.0-x\r\n\r\n".into(), "malformed"),
        (
            format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101)),
            "large",
        ),
        (
            format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "x".repeat(500_000)),
            "large",
        ),
    ] {
        let (mut connection, mut far) = connection();
        begin(&mut connection, &Method::POST, full("x"));
        far.write_all(input.as_bytes()).await.unwrap();
        far.shutdown().await.unwrap();
        let found = match poll_fn(|cx| connection.poll_response(cx))
            .await
            .unwrap_err()
        {
            ResponseError::Closed => "closed",
            ResponseError::Head(HeadError::Malformed) => "malformed",
            ResponseError::Head(HeadError::TooLarge) => "large",
            other => panic!("{other}"),
        };
        assert_eq!(found, expected, "{input:.30}");
        assert!(!connection.is_ready());
    }
}

#[tokio::test]
async fn a_body_without_data_is_empty_only_if_nothing_else_comes_of_it() {
    for (chunks, length) in [
        ("hello", None),
        ("0\r\nx-sum: 1\r\n\r\n", None),
        ("0\r\n\r\n", Some(0)),
    ] {
        let (mut connection, mut far) = connection();
        begin(&mut connection, &Method::POST, full("x"));
        let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
        far.write_all(answer.as_bytes()).await.unwrap();
        let response = poll_fn(|cx| connection.poll_response(cx)).await.unwrap();
        assert_eq!(response.body().size_hint().exact(), length, "{chunks}");
    }
}

#[tokio::test]
async fn a_body_that_nobody_takes_stays_with_its_replica() {
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let mut connection: Http1Connection<_, Sent> = Http1Connection::new(near, 100);
    begin(&mut connection, &Method::GET, full(""));
    far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        .await
        .unwrap();
    let response = poll_fn(|cx| connection.poll_response(cx)).await.unwrap();
    let mut taken = 0;
    let mut cx = Context::from_waker(std::task::Waker::noop());
    loop {
        let mut write = pin!(far.write(&[0; 1000]));
        let Poll::Ready(written) = write.as_mut().poll(&mut cx) else {
            break;
        };
        taken += written.unwrap();
        connection.drive(&mut cx);
    }
    assert!(taken < 300_000, "{taken} bytes were taken of the replica");
    drop(response);
}

#[tokio::test]
async fn after_an_upgrade_the_bytes_are_somebody_elses() {
    let (mut connection, mut far) = connection();
    begin(&mut connection, &Method::GET, full(""));
    far.write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\nfirst")
        .await
        .unwrap();
    let response = poll_fn(|cx| connection.poll_response(cx)).await.unwrap();
    assert!(response.body().is_end() && !connection.is_ready());
    poll_fn(|cx| connection.poll_send(cx)).await.unwrap();
    let (_, unread) = connection.into_parts();
    assert_eq!(unread, "first");
}

#[tokio::test]
async fn no_more_of_an_answer_is_read_than_somebody_asks_for() {
    let (near, mut far) = tokio::io::duplex(256);
    let mut connection = Http1Connection::new(near, 100);
    let empty = Empty::new().map_err(|never| match never {});
    begin(&mut connection, &Method::GET, empty.boxed());
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 260\r\n\r\nabc";
    far.write_all(head.as_bytes()).await.unwrap();
    let response = poll_fn(|cx| connection.poll_response(cx)).await.unwrap();
    let mut body = response.into_body();
    let first = frame(&mut connection, &mut body).await.unwrap().unwrap();
    assert_eq!(first.data_ref().unwrap(), "abc");
    // All that there is room for on the way.
    far.write_all(&[b'x'; 256]).await.unwrap();
    let more = poll_fn(|cx| {
        connection.drive(cx);
        Poll::Ready(Pin::new(&mut far).poll_write(cx, b"y"))
    });
    assert!(more.await.is_pending(), "nobody has asked for it");
    let second = frame(&mut connection, &mut body).await.unwrap().unwrap();
    assert_eq!(second.data_ref().unwrap().len(), 256);
    far.write_all(b"y").await.unwrap();
    assert!(frame(&mut connection, &mut body).await.is_some());
    assert!(body.is_end() && connection.is_ready());
}

//! A connection as a whole.

mod differential;

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{Read, ServerConnection, ServerLimits};
use crate::{
    http1::Http1Body,
    message::{HeaderMap, Request, Response},
};

const LIMITS: ServerLimits = ServerLimits {
    header_fields: 100,
    header_bytes: 80 * 1024,
};

/// A response, with the frames of its body.
#[derive(Default)]
struct Sent {
    head: Response<()>,
    frames: Vec<Frame<Bytes>>,
    length: Option<u64>,
}

/// A body of frames that are there.
struct Frames(std::vec::IntoIter<Frame<Bytes>>, Option<u64>);

impl Body for Frames {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.next().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_slice().is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.1.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A body's bytes and trailers.
type Whole = (Vec<u8>, Vec<(String, Vec<u8>)>);

/// Serves a connection: `answer` is given each request with its body, `None` if that broke off.
async fn serve(
    io: DuplexStream,
    mut answer: impl FnMut(&Request<Http1Body>, Option<Whole>) -> Option<Sent>,
) {
    let mut http = ServerConnection::new(io, LIMITS);
    loop {
        let mut request = match poll_fn(|cx| http.poll_request(cx)).await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(error) => {
                http.reject(error.status(), Bytes::from(error.to_string()));
                poll_fn(|cx| http.poll_flush(cx)).await.unwrap();
                return;
            }
        };
        let body = read(&mut http, request.body_mut()).await;
        let Some(sent) = answer(&request, body) else {
            return;
        };
        drop(request);
        let mut body = Some(Frames(sent.frames.into_iter(), sent.length));
        let head = sent.head.into_parts().0;
        poll_fn(|cx| {
            body.take_if(|body| !http.begin(&head, body, cx));
            Poll::Ready(())
        })
        .await;
        if poll_fn(|cx| http.poll_send(&mut body, cx)).await.is_err() || !http.is_ready() {
            return;
        }
    }
}

async fn read(http: &mut ServerConnection<DuplexStream>, body: &mut Http1Body) -> Option<Whole> {
    let mut whole = Whole::default();
    loop {
        let frame = poll_fn(|cx| {
            loop {
                match body.take_frame() {
                    Poll::Pending if http.poll_read(cx) == Poll::Ready(Read::Body) => {}
                    polled => return polled,
                }
            }
        });
        match frame.await {
            None => return Some(whole),
            Some(Err(_)) => return None,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => whole.0.extend_from_slice(&data),
                Err(frame) => whole.1 = differential::fields(frame.trailers_ref().unwrap()),
            },
        }
    }
}

/// What comes back for `input`, if each request is answered by `answer`. Dates are taken out.
async fn answered(input: &str, mut answer: impl FnMut(&Request<Http1Body>) -> Sent) -> String {
    let (near, mut far) = tokio::io::duplex(1 << 20);
    far.write_all(input.as_bytes()).await.unwrap();
    far.shutdown().await.unwrap();
    serve(near, |request, _| Some(answer(request))).await;
    let mut back = String::new();
    far.read_to_string(&mut back).await.unwrap();
    let lines = back.split_inclusive("\r\n");
    lines.filter(|line| !line.starts_with("date: ")).collect()
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

fn sent(frames: Vec<Frame<Bytes>>, length: Option<u64>) -> Sent {
    Sent {
        head: Response::new(()),
        frames,
        length,
    }
}

#[tokio::test]
async fn bodies_are_framed_as_the_caller_can_read_them() {
    let trailers = || HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())]);
    let chunked = || {
        let frames = vec![data("ab"), data("c"), Frame::trailers(trailers().into())];
        let mut sent = sent(frames, None);
        sent.head
            .headers_mut()
            .insert("trailer", "x-sum".parse().unwrap());
        sent
    };
    let known = || sent(vec![data("abc")], Some(3));
    let empty = Sent::default;
    let cases: [(&str, &dyn Fn() -> Sent, &str); 9] = [
        (
            "GET / HTTP/1.1\r\n\r\n",
            &known,
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
        ),
        (
            "GET / HTTP/1.1\r\n\r\n",
            &empty,
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        ),
        (
            "GET / HTTP/1.1\r\nte: trailers\r\n\r\n",
            &chunked,
            "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
             2\r\nab\r\n1\r\nc\r\n0\r\nx-sum: 1\r\n\r\n",
        ),
        (
            "GET / HTTP/1.1\r\n\r\n",
            &chunked,
            "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
             2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        ),
        (
            "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
            &chunked,
            "HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nabc",
        ),
        (
            "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
            &known,
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 3\r\n\r\nabc",
        ),
        (
            "GET / HTTP/1.0\r\n\r\n",
            &known,
            "HTTP/1.0 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc",
        ),
        (
            "GET / HTTP/1.1\r\nconnection: close\r\n\r\n",
            &known,
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc",
        ),
        (
            "HEAD / HTTP/1.1\r\n\r\n",
            &known,
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n",
        ),
    ];
    for (input, answer, expected) in cases {
        let back = answered(input, |_| answer()).await;
        assert_eq!(back, expected, "{input:?}");
    }
}

#[tokio::test]
async fn statuses_without_a_body_have_none_and_a_head_may_say_how_long_it_were() {
    for (method, status, length, expected) in [
        ("GET", 204, "5", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", 304, "5", "HTTP/1.1 304 Not Modified\r\n\r\n"),
        (
            "HEAD",
            200,
            "5",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
        ),
        (
            "GET",
            299,
            "0",
            "HTTP/1.1 299 Unknown\r\ncontent-length: 0\r\n\r\n",
        ),
    ] {
        let input = format!("{method} / HTTP/1.1\r\n\r\n");
        let back = answered(&input, |_| {
            let mut sent = Sent::default();
            *sent.head.status_mut() = status.try_into().unwrap();
            let headers = sent.head.headers_mut();
            headers.insert("content-length", length.parse().unwrap());
            sent
        });
        assert_eq!(back.await, expected);
    }
}

#[tokio::test]
async fn a_caller_that_awaits_it_is_told_to_go_on_once_somebody_reads() {
    let head = "POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";
    let (near, mut far) = tokio::io::duplex(1 << 20);
    let serving = serve(near, |_, body| body.map(|_| Sent::default()));
    let calling = async {
        far.write_all(head.as_bytes()).await.unwrap();
        let mut interim = [0; 25];
        far.read_exact(&mut interim).await.unwrap();
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        far.write_all(b"abc").await.unwrap();
        far.shutdown().await.unwrap();
        let mut back = String::new();
        far.read_to_string(&mut back).await.unwrap();
        assert!(back.starts_with("HTTP/1.1 200 OK\r\n"), "{back}");
    };
    tokio::join!(serving, calling);
    // Whoever has sent it already needs nothing.
    let back = answered(&format!("{head}abc"), |_| Sent::default()).await;
    assert_eq!(back, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
}

#[tokio::test]
async fn requests_that_were_sent_together_are_answered_one_after_the_other() {
    let input = "POST /a HTTP/1.1\r\ncontent-length: 1\r\n\r\nxGET /b HTTP/1.1\r\n\r\n\
                 GET /c HTTP/1.1\r\nconnection: close\r\n\r\nGET /d HTTP/1.1\r\n\r\n";
    let mut seen = Vec::new();
    let back = answered(input, |request| {
        seen.push(request.uri().path().to_owned());
        Sent::default()
    });
    assert_eq!(back.await.matches("HTTP/1.1 200 OK").count(), 3);
    assert_eq!(seen, ["/a", "/b", "/c"]);
}

#[tokio::test]
async fn a_body_that_nobody_reads_costs_the_connection_only_if_it_has_not_come() {
    for (body, says_close) in [("abc", false), ("a", true)] {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut http = ServerConnection::new(near, LIMITS);
        let head = format!("POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\n{body}");
        far.write_all(head.as_bytes()).await.unwrap();
        let request = poll_fn(|cx| http.poll_request(cx)).await;
        drop(request);
        let mut none = None::<Frames>;
        poll_fn(|cx| {
            let empty = Frames(Vec::new().into_iter(), None);
            http.begin(&Response::new(()).into_parts().0, &empty, cx);
            http.poll_send(&mut none, cx)
        })
        .await
        .unwrap();
        assert_eq!(http.is_ready(), !says_close, "{body}");
        drop(http);
        let mut back = String::new();
        far.read_to_string(&mut back).await.unwrap();
        assert_eq!(back.contains("connection: close"), says_close, "{back}");
    }
}

#[tokio::test]
async fn the_end_of_the_connection_is_seen_while_a_request_is_answered() {
    let (near, mut far) = tokio::io::duplex(1 << 20);
    let mut http = ServerConnection::new(near, LIMITS);
    far.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let _request = poll_fn(|cx| http.poll_request(cx)).await.unwrap();
    let pending = poll_fn(|cx| Poll::Ready(http.poll_read(cx).is_pending())).await;
    assert!(pending);
    drop(far);
    assert_eq!(poll_fn(|cx| http.poll_read(cx)).await, Read::Closed);
}

//! The same bytes are given to hyper's server and to this one, and what both read is compared.

use std::{cell::RefCell, rc::Rc};

use http::{HeaderName, HeaderValue, Method, Uri, Version};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{LIMITS, Sent, serve};
use crate::message::Request;

type Fields = Vec<(String, Vec<u8>)>;

/// What is to be compared of a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Read {
    method: Method,
    target: Uri,
    version: Version,
    fields: Fields,
    /// The body and its trailers; `None` if it broke off.
    body: Option<(Vec<u8>, Fields)>,
}

pub(super) fn fields<'a>(
    headers: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
) -> Fields {
    let field =
        |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), value.as_bytes().to_vec());
    let mut all: Vec<_> = headers.into_iter().map(field).collect();
    all.sort();
    all
}

impl Read {
    pub(super) fn new<B>(request: &Request<B>, body: Option<(Vec<u8>, Fields)>) -> Self {
        Self {
            method: request.method().clone(),
            target: request.uri().clone(),
            version: request.version(),
            fields: fields(request.headers()),
            body,
        }
    }
}

/// Writes `input` in pieces of `size`, and ends the caller's side. Returns what comes back.
async fn play(mut far: DuplexStream, input: Vec<u8>, size: usize) -> Vec<u8> {
    for piece in input.chunks(size) {
        // It may have been given up.
        let _ = far.write_all(piece).await;
        tokio::task::yield_now().await;
    }
    let _ = far.shutdown().await;
    let mut back = Vec::new();
    let _ = far.read_to_end(&mut back).await;
    back
}

/// The statuses of the answers in `back`, whose bodies have no line that looks like theirs.
fn statuses(back: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(back);
    let lines = text.lines().filter_map(|line| line.strip_prefix("HTTP/1."));
    lines.map(|line| line[2..5].to_owned()).collect()
}

async fn hypers(input: Vec<u8>, size: usize) -> (Vec<Read>, Vec<String>) {
    let (near, far) = tokio::io::duplex(1 << 20);
    let read = Rc::new(RefCell::new(Vec::new()));
    let service = service_fn(|request: http::Request<Incoming>| {
        let read = read.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.ok().map(|whole| {
                let trailers = whole.trailers().map(fields).unwrap_or_default();
                (whole.to_bytes().to_vec(), trailers)
            });
            let is_whole = body.is_some();
            let head = http::Request::from_parts(head, ()).into();
            read.borrow_mut().push(Read::new(&head, body));
            match is_whole {
                true => Ok(http::Response::new(Empty::<bytes::Bytes>::new())),
                false => Err("the body broke off"),
            }
        }
    });
    let mut builder = http1::Builder::new();
    builder.max_header_size(LIMITS.header_bytes);
    builder.half_close(true);
    let serving = builder.serve_connection(TokioIo::new(near), service);
    let (_, back) = tokio::join!(serving, play(far, input, size));
    let statuses = statuses(&back);
    (read.take(), statuses)
}

async fn ours(input: Vec<u8>, size: usize) -> (Vec<Read>, Vec<String>) {
    let (near, far) = tokio::io::duplex(1 << 20);
    let serving = async {
        let mut read = Vec::new();
        serve(near, |request, body| {
            let is_whole = body.is_some();
            read.push(Read::new(request, body));
            is_whole.then(Sent::default)
        })
        .await;
        read
    };
    let (read, back) = tokio::join!(serving, play(far, input, size));
    (read, statuses(&back))
}

/// Whether this server refuses a request that hyper's reads: with a length beside a coding, hyper
/// does not look at the length.
fn is_stricter(input: &[u8]) -> bool {
    let text = String::from_utf8_lossy(input).to_ascii_lowercase();
    text.contains("transfer-encoding") && text.contains("content-length")
}

/// Whether the last body broke off where hyper takes a line feed alone for the end of no trailers.
fn broke_off_at_bare_lf(input: &[u8], found: &[Read]) -> bool {
    let has_bare = input.windows(3).any(|bytes| bytes == b"\r\n\n");
    has_bare && found.last().is_some_and(|read| read.body.is_none())
}

/// Pieces that requests are made of, well-formed and not.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let line = proptest::sample::select(vec![
        "POST / HTTP/1.1\r\n",
        "GET /a?b=c HTTP/1.1\r\n",
        "GET http://h/a HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "CONNECT h:1 HTTP/1.1\r\n",
        "POST / HTTP/1.0\r\n",
        "HEAD / HTTP/1.0\r\n",
        "get / HTTP/1.1\r\n",
        "PROPFIND / HTTP/1.1\r\n",
        "POST / HTTP/1.2\r\n",
        "POST / http/1.1\r\n",
        "POST  / HTTP/1.1\r\n",
        "POST / HTTP/1.1 \r\n",
        "POST /\u{e9} HTTP/1.1\r\n",
        "POST /a b HTTP/1.1\r\n",
        "POST /a#b HTTP/1.1\r\n",
        "POST / HTTP/1.1\n",
        "\r\nPOST / HTTP/1.1\r\n",
        "\n\nPOST / HTTP/1.1\r\n",
        "POST /\r\n",
        " POST / HTTP/1.1\r\n",
        "PRI * HTTP/2.0\r\n",
    ]);
    let field = proptest::sample::select(vec![
        "host: h\r\n",
        "content-length: 5\r\n",
        "Content-Length: 5\r\n",
        "content-length: 5, 5\r\n",
        "content-length: 6\r\n",
        "content-length: +5\r\n",
        "content-length: \r\n",
        "content-length: 0\r\n",
        "content-length: 00005\r\n",
        "transfer-encoding: chunked\r\n",
        "Transfer-Encoding: gzip, Chunked\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, gzip\r\n",
        "transfer-encoding : chunked\r\n",
        "transfer-encoding:\tchunked \r\n",
        "transfer-encoding: \u{fc}, chunked\r\n",
        "connection: close\r\n",
        "connection: keep-alive\r\n",
        "connection: a, Keep-Alive\r\n",
        "expect: 100-continue\r\n",
        "expect: 100-Continue\r\n",
        "upgrade: websocket\r\n",
        "te: trailers\r\n",
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
    ]);
    let whole = (line, proptest::collection::vec(field, 0..4), body);
    let text =
        whole.prop_map(|(line, fields, body)| format!("{line}{}\r\n{body}", fields.concat()));
    let several = proptest::collection::vec(text, 1..4);
    // Now and then a byte that is another one, or is not there.
    let change =
        proptest::option::weighted(0.3, (any::<proptest::sample::Index>(), any::<Option<u8>>()));
    (several, change).prop_map(|(several, change)| {
        let mut text = several.concat().into_bytes();
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
    fn requests_are_read_as_strictly_as_hyper_reads_them(
        input in request(),
        size in prop_oneof![1usize..8, Just(usize::MAX)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (theirs, answered) = runtime.block_on(hypers(input.clone(), size));
        let (found, said) = runtime.block_on(ours(input.clone(), size));
        let text = String::from_utf8_lossy(&input);
        if broke_off_at_bare_lf(&input, &found) {
            prop_assert_eq!(&found[..found.len() - 1], &theirs[..found.len() - 1], "{:?}", text);
        } else if is_stricter(&input) {
            prop_assert!(theirs.starts_with(&found), "{:?}: {:?} {:?}", text, found, theirs);
        } else {
            prop_assert_eq!(&found, &theirs, "{:?}", text);
            let whole = |statuses: &[String]| statuses.iter().filter(|s| *s == "200").count();
            prop_assert_eq!(whole(&said), whole(&answered), "{:?}", text);
        }
    }
}

#[test]
fn a_head_that_cannot_be_read_is_answered() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for (input, status) in [
        ("GET / HTTP/2.0\r\n\r\n", "400"),
        ("nonsense\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nx y: 1\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n", "400"),
        (
            "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
            "400",
        ),
        (
            &format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(70_000)),
            "414",
        ),
        (
            &format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(90_000)),
            "431",
        ),
        (
            &format!("GET / HTTP/1.1\r\nx: {}", "a".repeat(90_000)),
            "431",
        ),
        (
            &format!("GET / HTTP/1.1\r\n{}\r\n", "x: a\r\n".repeat(101)),
            "431",
        ),
    ] {
        for size in [7, usize::MAX] {
            let (read, said) = runtime.block_on(ours(input.as_bytes().to_vec(), size));
            assert!(read.is_empty());
            assert_eq!(said, [status], "{}", &input[..input.len().min(60)]);
        }
    }
}

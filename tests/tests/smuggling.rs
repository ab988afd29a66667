//! Where a request ends: streams of bytes that readers could take for different requests, as Tailback reads
//! them and as nginx and HAProxy do.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    time::Duration,
};

use tailback_tests::{
    corpus, eventually,
    second_parser::SecondParser,
    upstream::{Upstream, proxy},
};

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came of a stream of bytes.
#[derive(Debug, PartialEq)]
struct Reading {
    /// Statuses and bodies of the answers.
    answers: Vec<(u16, Vec<u8>)>,
    /// The last words of the paths of the requests that reached the server.
    forwarded: Vec<String>,
}

trait Caller: Read + Write {
    fn begin(&self);
    fn end_sending(&self);
}

impl Caller for TcpStream {
    fn begin(&self) {
        self.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    fn end_sending(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Caller for UnixStream {
    fn begin(&self) {
        self.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    fn end_sending(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

/// Sends `bytes`, ends the caller's side, and reads all that comes.
fn replay(mut caller: impl Caller, upstream: &Upstream, bytes: &[u8]) -> Reading {
    let before = upstream.heads().len();
    caller.begin();
    // Who refuses the first half need not read the second.
    let _ = caller.write_all(bytes);
    caller.end_sending();
    let mut all = Vec::new();
    let _ = caller.read_to_end(&mut all);
    let heads = upstream.heads();
    let path = |head: &String| {
        let target = head.split(' ').nth(1).unwrap_or_default();
        let word = target.rsplit('/').next().unwrap_or_default();
        word.split(['#', '?']).next().unwrap_or_default().to_owned()
    };
    Reading {
        answers: answers(&all),
        forwarded: heads[before..].iter().map(path).collect(),
    }
}

/// The answers in `bytes`, as far as they are whole; 1xx are left out.
fn answers(mut bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some(end) = bytes.windows(4).position(|at| at == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status: u16 = status.unwrap_or_else(|| panic!("an answer: {head}"));
        bytes = &bytes[end + 4..];
        if status < 200 {
            continue;
        }
        let mut body = Vec::new();
        if head.contains("transfer-encoding: chunked") {
            while let Some(end) = bytes.windows(2).position(|at| at == b"\r\n") {
                let size = std::str::from_utf8(&bytes[..end]).unwrap();
                let size = usize::from_str_radix(size, 16).unwrap();
                bytes = &bytes[end + 2..];
                body.extend_from_slice(&bytes[..size]);
                bytes = &bytes[size + 2..];
                if size == 0 {
                    break;
                }
            }
        } else {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            // Without a length it goes on to the end.
            let length = length.map_or(bytes.len(), |length| length.parse().unwrap());
            let (own, rest) = bytes.split_at(length.min(bytes.len()));
            body.extend_from_slice(own);
            bytes = rest;
        }
        all.push((status, body));
    }
    all
}

/// Whether the server got what it should: words with a `?` are of requests that may have reached it in part.
fn is_forwarded(expected: &[String], found: &[String]) -> bool {
    let sure: Vec<_> = expected
        .iter()
        .filter(|word| !word.ends_with('?'))
        .collect();
    let all = expected.iter().map(|word| word.trim_end_matches('?'));
    found.iter().eq(sure) || all.eq(found)
}

#[test]
fn each_stream_of_the_corpus_is_read_as_it_says() {
    let (upstream, proxy) = proxy();
    let mut wrong = Vec::new();
    for case in corpus::streams() {
        let caller = TcpStream::connect(proxy.address).unwrap();
        let found = replay(caller, &upstream, &case.bytes);
        let statuses: Vec<_> = found.answers.iter().map(|(status, _)| *status).collect();
        if statuses != case.statuses || !is_forwarded(&case.forwarded, &found.forwarded) {
            wrong.push(format!(
                "{}\n  got {statuses:?}, {:?}",
                case.what, found.forwarded
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    eventually("their ends", || proxy.model("m")["inFlight"] == 0);
}

/// Whether two readers agree on where requests end: both have taken the same ones with the same bodies, or
/// one has gone no further.
fn agree(one: &Reading, other: &Reading) -> bool {
    let taken = |read: &Reading| {
        let count = read.forwarded.len();
        let bodies = read.answers.iter().map(|(_, body)| body.clone());
        let all: Vec<_> = read.forwarded.iter().cloned().zip(bodies).collect();
        (all, count)
    };
    let ((one, one_count), (other, other_count)) = (taken(one), taken(other));
    let both = one_count.min(other_count).min(one.len()).min(other.len());
    one[..both] == other[..both]
}

#[test]
fn nginx_and_haproxy_find_the_same_ends_of_what_tailback_takes() {
    let (upstream, proxy) = proxy();
    let (for_nginx, for_haproxy) = (Upstream::start(), Upstream::start());
    let parsers = SecondParser::installed(for_nginx.address, for_haproxy.address);
    let streams = corpus::streams()
        .into_iter()
        .map(|case| (case.what, case.bytes));
    let requests = corpus::requests()
        .into_iter()
        .map(|case| (case.what, case.bytes));
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for (what, bytes) in streams.chain(requests) {
        let ours = replay(
            TcpStream::connect(proxy.address).unwrap(),
            &upstream,
            &bytes,
        );
        for parser in &parsers {
            let upstream = if parser.name == "nginx" {
                &for_nginx
            } else {
                &for_haproxy
            };
            let theirs = replay(parser.connect(), upstream, &bytes);
            compared += usize::from(!ours.forwarded.is_empty() && !theirs.forwarded.is_empty());
            if !agree(&ours, &theirs) {
                wrong.push(format!(
                    "{what}\n  Tailback: {ours:?}\n  {}: {theirs:?}",
                    parser.name
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        parsers.is_empty() || compared > 20,
        "{compared} were taken by both"
    );
    println!("{compared} were taken by Tailback and a second parser, with the same ends");
}

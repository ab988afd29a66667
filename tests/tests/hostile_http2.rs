//! HTTP/2 frames that no honest client sends, byte by byte.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use tailback_tests::{PATIENCE, eventually, process::Tailback, upstream::Upstream};

const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const DATA: u8 = 0;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field, by HPACK: literal, not indexed, new name (RFC 7541, 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0, name.len() as u8];
    field.extend(name.bytes());
    field.push(value.len() as u8);
    field.extend(value.bytes());
    field
}

/// The head of a POST to the model.
fn head(more: &[(&str, &str)]) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/v2/models/m/infer/ok"),
        (":authority", "t"),
    ]
    .iter()
    .chain(more)
    {
        head.extend(field(name, value));
    }
    head
}

struct Raw(TcpStream);

impl Raw {
    fn connect(proxy: &Tailback) -> Self {
        let mut raw = Self(TcpStream::connect(proxy.address).unwrap());
        raw.0.set_read_timeout(Some(PATIENCE)).unwrap();
        raw.0
            .set_write_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        raw.send(&frame(SETTINGS, 0, 0, &[]));
        raw
    }

    /// Whether it was taken.
    fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// The next frame: kind, stream, payload.
    fn receive(&mut self) -> Option<(u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some((head[3], stream, payload))
    }

    /// Reads until the stream is reset, answered, or the connection ends.
    fn end_of(&mut self, stream: u32) -> &'static str {
        loop {
            match self.receive() {
                None => return "closed",
                Some((GOAWAY, _, payload)) if payload[4..8] != [0; 4] => return "closed",
                Some((RST_STREAM, on, _)) if on == stream => return "reset",
                Some((HEADERS, on, _)) if on == stream => return "answered",
                Some(_) => {}
            }
        }
    }

    /// Sends `bytes` over and over; whether the other side put an end to it.
    fn flood(&mut self, bytes: &[u8]) -> bool {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if !self.send(bytes) {
                return true;
            }
        }
        false
    }
}

fn serving(variables: &[(&str, &str)]) -> (Upstream, Tailback) {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), variables);
    (upstream, proxy)
}

fn still_serves(proxy: &Tailback) {
    let answer = tailback_tests::http::call(proxy.address, "POST", "/v2/models/m/infer/ok", b"x");
    assert_eq!(answer.unwrap().status, 200);
    eventually("nothing in flight", || proxy.model("m")["inFlight"] == 0);
}

#[test]
fn malformed_requests_are_reset_and_never_forwarded() {
    let (upstream, proxy) = serving(&[]);
    for (what, fields) in [
        ("hop-by-hop", vec![("connection", "keep-alive")]),
        ("chunked", vec![("transfer-encoding", "chunked")]),
        ("upper case", vec![("X-Upper", "x")]),
        (
            "line break",
            vec![("x-a", "b\r\ntransfer-encoding: chunked")],
        ),
        ("late pseudo-field", vec![("x-a", "b"), (":path", "/other")]),
        ("te", vec![("te", "gzip")]),
        ("length", vec![("content-length", "5")]),
        ("no length", vec![("content-length", "one")]),
    ] {
        let mut raw = Raw::connect(&proxy);
        raw.send(&frame(HEADERS, END_HEADERS, 1, &head(&fields)));
        raw.send(&frame(DATA, END_STREAM, 1, b"x"));
        let end = raw.end_of(1);
        assert!(end == "reset" || end == "closed", "{what}: {end}");
    }
    let mut raw = Raw::connect(&proxy);
    let lengths = [("content-length", "1"), ("content-length", "2")];
    raw.send(&frame(HEADERS, END_HEADERS, 1, &head(&lengths)));
    raw.send(&frame(DATA, END_STREAM, 1, b"x"));
    assert_ne!(raw.end_of(1), "nothing");
    still_serves(&proxy);
    assert_eq!(upstream.heads().len(), 1, "{:?}", upstream.heads());
}

#[test]
fn continuation_flood_ends_the_connection_at_flat_memory() {
    let (_upstream, proxy) = serving(&[]);
    still_serves(&proxy);
    let before = proxy.resident();
    // CVE-2024-27316: a header block without end.
    let mut raw = Raw::connect(&proxy);
    raw.send(&frame(HEADERS, 0, 1, &head(&[])));
    let more = frame(CONTINUATION, 0, 1, &field("x-filler", &"x".repeat(100)));
    assert!(raw.flood(&more.repeat(100)), "the flood was taken");
    // Empty ones do not count against any size.
    let mut raw = Raw::connect(&proxy);
    raw.send(&frame(HEADERS, 0, 1, &head(&[])));
    let more = frame(CONTINUATION, 0, 1, &[]);
    assert!(raw.flood(&more.repeat(1000)), "the flood was taken");
    let grown = proxy.resident().saturating_sub(before);
    assert!(grown < 8 * 1024 * 1024, "{grown} bytes");
    still_serves(&proxy);
}

#[test]
fn frames_that_ask_for_answers_nobody_reads_end_the_connection() {
    let (_upstream, proxy) = serving(&[("TAILBACK_HEADER_TIMEOUT_SECONDS", "0.5")]);
    still_serves(&proxy);
    let before = proxy.resident();
    for (what, frame) in [
        ("ping", frame(PING, 0, 0, &[0; 8])),
        ("settings", frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])),
    ] {
        let mut raw = Raw::connect(&proxy);
        assert!(raw.flood(&frame.repeat(1000)), "the {what} flood was taken");
    }
    let grown = proxy.resident().saturating_sub(before);
    assert!(grown < 8 * 1024 * 1024, "{grown} bytes");
    still_serves(&proxy);
}

#[test]
fn empty_data_floods_end_the_connection() {
    let (_upstream, proxy) = serving(&[]);
    let mut raw = Raw::connect(&proxy);
    raw.send(&frame(HEADERS, END_HEADERS, 1, &head(&[])));
    let empty = frame(DATA, 0, 1, &[]);
    assert!(raw.flood(&empty.repeat(1000)), "the flood was taken");
    still_serves(&proxy);
}

#[test]
fn floods_of_ping_and_settings_whose_answers_are_read_end_the_connection() {
    const ENHANCE_YOUR_CALM: [u8; 4] = 11_u32.to_be_bytes();
    let (_upstream, proxy) = serving(&[]);
    let unknown = 200;
    for (what, bytes) in [
        ("PING", frame(PING, 0, 0, &[7; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("unknown", frame(unknown, 0, 0, &[1; 5])),
    ] {
        let mut raw = Raw::connect(&proxy);
        let mut reader = Raw(raw.0.try_clone().unwrap());
        let reading = std::thread::spawn(move || {
            let mut calm = false;
            while let Some((kind, _, payload)) = reader.receive() {
                calm |= kind == GOAWAY && payload[4..8] == ENHANCE_YOUR_CALM;
            }
            calm
        });
        assert!(raw.flood(&bytes.repeat(1000)), "{what}");
        assert!(reading.join().unwrap(), "{what}: GOAWAY says why");
    }
    // As many as gRPC sends to measure the bandwidth are no flood.
    let mut raw = Raw::connect(&proxy);
    raw.send(&frame(PING, 0, 0, &[7; 8]).repeat(1000));
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head(&[])));
    assert_eq!(raw.end_of(1), "answered");
    still_serves(&proxy);
}

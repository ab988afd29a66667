//! Whatever frames a caller sends by HTTP/2: they come to an end, no count is wrong, and the replica reads no
//! request that was not counted.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tailback_fuzz::proxied;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FIELDS: [(&str, &str); 24] = [
    (":method", "POST"),
    (":method", "GET"),
    (":method", "CONNECT"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":path", "/v2/models/m/infer"),
    (":path", "/v2/models/m"),
    (":path", "*"),
    (":path", ""),
    (":path", "/a/../v2/models/m"),
    (":authority", "h"),
    (":authority", "a b"),
    (":protocol", "websocket"),
    (":unknown", "x"),
    ("host", "h"),
    ("content-length", "5"),
    ("content-length", "0"),
    ("te", "trailers"),
    ("connection", "close"),
    ("transfer-encoding", "chunked"),
    ("Upper", "x"),
    ("content-type", "application/grpc"),
    ("grpc-timeout", "1S"),
    ("seldon-model", "m"),
];

#[derive(Arbitrary, Debug)]
enum Frame {
    Headers {
        stream: u8,
        ends: bool,
        is_whole: bool,
        fields: Vec<u8>,
    },
    Request {
        stream: u8,
        ends: bool,
    },
    Continuation {
        stream: u8,
        is_whole: bool,
        fields: Vec<u8>,
    },
    Data {
        stream: u8,
        ends: bool,
        bytes: Vec<u8>,
    },
    Reset {
        stream: u8,
        why: u8,
    },
    Window {
        stream: u8,
        by: u32,
    },
    Settings {
        all: Vec<(u8, u32)>,
    },
    Ping,
    GoAway,
    Raw {
        kind: u8,
        flags: u8,
        stream: u8,
        payload: Vec<u8>,
    },
    Pause,
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u8, payload: &[u8]) {
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags, 0, 0, 0, stream]);
    out.extend_from_slice(payload);
}

/// Literal fields that are not indexed (RFC 7541, 6.2.2).
fn block(fields: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    for field in fields {
        let (name, value) = FIELDS[usize::from(*field) % FIELDS.len()];
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

fuzz_target!(|frames: Vec<Frame>| {
    let mut first = PREFACE.to_vec();
    frame(&mut first, 4, 0, 0, &[]);
    let mut pieces = vec![first];
    for one in &frames {
        let out = pieces.last_mut().unwrap();
        match one {
            Frame::Headers {
                stream,
                ends,
                is_whole,
                fields,
            } => {
                let flags = u8::from(*ends) | u8::from(*is_whole) << 2;
                frame(out, 1, flags, *stream, &block(fields));
            }
            Frame::Request { stream, ends } => {
                // What a request needs.
                frame(
                    out,
                    1,
                    u8::from(*ends) | 4,
                    stream | 1,
                    &block(&[0, 3, 5, 10]),
                );
            }
            Frame::Continuation {
                stream,
                is_whole,
                fields,
            } => {
                frame(out, 9, u8::from(*is_whole) << 2, *stream, &block(fields));
            }
            Frame::Data {
                stream,
                ends,
                bytes,
            } => frame(out, 0, u8::from(*ends), *stream, bytes),
            Frame::Reset { stream, why } => frame(out, 3, 0, *stream, &[0, 0, 0, *why]),
            Frame::Window { stream, by } => frame(out, 8, 0, *stream, &by.to_be_bytes()),
            Frame::Settings { all } => {
                let mut payload = Vec::new();
                for (name, value) in all {
                    payload.extend_from_slice(&[0, *name]);
                    payload.extend_from_slice(&value.to_be_bytes());
                }
                frame(out, 4, 0, 0, &payload);
            }
            Frame::Ping => frame(out, 6, 0, 0, &[0; 8]),
            Frame::GoAway => frame(out, 7, 0, 0, &[0; 8]),
            Frame::Raw {
                kind,
                flags,
                stream,
                payload,
            } => frame(out, *kind, *flags, *stream, payload),
            Frame::Pause => pieces.push(Vec::new()),
        }
    }
    let found = proxied(pieces);
    assert!(found.forwarded.len() as u64 <= found.counted, "{found:?}");
    assert!(
        found
            .forwarded
            .iter()
            .all(|(path, ..)| path.starts_with("/v2/models/m")),
        "{found:?}"
    );
});

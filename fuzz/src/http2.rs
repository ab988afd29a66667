//! Frames of HTTP/2, as fuzz targets make them up.

use arbitrary::Arbitrary;

/// Fields of requests and answers, right and wrong ones.
const FIELDS: [(&str, &str); 27] = [
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
    (":status", "200"),
    (":status", "103"),
    ("grpc-status", "0"),
];

/// A frame, whole or broken.
#[derive(Arbitrary, Debug)]
pub enum Frame {
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
    Answer {
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

/// What is sent: `begin`, empty SETTINGS, and `frames`, in the pieces that pauses make.
#[must_use]
pub fn pieces(begin: &[u8], frames: &[Frame]) -> Vec<Vec<u8>> {
    let mut first = begin.to_vec();
    frame(&mut first, 4, 0, 0, &[]);
    let mut pieces = vec![first];
    for one in frames {
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
            Frame::Answer { stream, ends } => {
                frame(out, 1, u8::from(*ends) | 4, stream | 1, &block(&[24]));
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
    pieces
}

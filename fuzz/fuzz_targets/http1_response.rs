//! For any answer of a replica in any pieces, the reader of heads and bodies does not panic, ends,
//! and reads the same.

#![no_main]

use bytes::BytesMut;
use http::Method;
use libfuzzer_sys::fuzz_target;
use tailback::http1::{
    client::response::{self, HeadError},
    decoder::{BodyDecoder, DecodedFrame, Malformed},
};
use tailback_fuzz::cut;

#[derive(Debug, PartialEq)]
enum Read {
    Head(HeadError),
    Body(Malformed),
    /// Status, data, fields behind it, and whether it has ended.
    Answer(u16, Vec<u8>, usize, bool),
    Partial,
}

fn read(method: &Method, pieces: &[&[u8]]) -> Read {
    let (mut bytes, mut answer) = (BytesMut::new(), None);
    let (mut data, mut trailers, mut interim) = (Vec::new(), 0, 0);
    for piece in pieces {
        bytes.extend_from_slice(piece);
        if answer.is_none() {
            match response::parse(&mut bytes, method, 100, &mut interim) {
                Ok(None) => continue,
                Ok(Some(head)) => {
                    answer = Some((
                        head.response.status().as_u16(),
                        BodyDecoder::new(head.framing),
                    ))
                }
                Err(error) => return Read::Head(error),
            }
        }
        let Some((_, decoder)) = &mut answer else {
            continue;
        };
        loop {
            match decoder.decode(&mut bytes) {
                Ok(None) => break,
                Ok(Some(DecodedFrame::Data(part))) => {
                    assert!(!part.is_empty());
                    data.extend_from_slice(&part);
                }
                Ok(Some(DecodedFrame::Trailers(fields))) => trailers += fields.len(),
                Err(error) => return Read::Body(error),
            }
        }
    }
    match answer {
        Some((status, decoder)) => Read::Answer(status, data, trailers, decoder.is_ended()),
        None => Read::Partial,
    }
}

fuzz_target!(|input: (bool, u16, &[u8])| {
    let (is_head, at, bytes) = input;
    let method = if is_head { Method::HEAD } else { Method::POST };
    let [a, b] = cut(bytes, at);
    assert_eq!(read(&method, &[bytes]), read(&method, &[a, b]));
});

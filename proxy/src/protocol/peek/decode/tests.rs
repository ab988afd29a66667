//! Bodies in each coding: cut anywhere, broken, and made to grow.

use super::*;
use proptest::prelude::*;
use std::io::Write;

const CODINGS: [&str; 5] = ["gzip", "deflate", "raw", "br", "zstd"];

/// `text` in this coding; `raw`: deflate without the zlib format.
fn encoded(coding: &str, text: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::best();
    match coding {
        "gzip" => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
            writer.write_all(text).unwrap();
            writer.finish().unwrap()
        }
        "deflate" => {
            let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), level);
            writer.write_all(text).unwrap();
            writer.finish().unwrap()
        }
        "raw" => {
            let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), level);
            writer.write_all(text).unwrap();
            writer.finish().unwrap()
        }
        "br" => brotli_of(text),
        "zstd" => {
            let mut out = Vec::with_capacity(zstd_safe::compress_bound(text.len()));
            zstd_safe::compress(&mut out, text, 3).unwrap();
            out
        }
        _ => unreachable!("{coding}"),
    }
}

/// Stored meta-blocks (RFC 7932, 9.2), which need no encoder.
fn brotli_of(text: &[u8]) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(0b0, 1); // WBITS: 16
    for block in text.chunks(1 << 16) {
        bits.put(0, 1); // ISLAST
        bits.put(0, 2); // MNIBBLES: 4
        bits.put(block.len() as u32 - 1, 16);
        bits.put(1, 1); // ISUNCOMPRESSED
        bits.align();
        bits.bytes.extend(block);
    }
    bits.put(0b11, 2); // ISLAST, ISLASTEMPTY
    bits.align();
    bits.bytes
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    last: u32,
    used: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        for bit in 0..count {
            self.last |= (value >> bit & 1) << self.used;
            self.used += 1;
            if self.used == 8 {
                self.align();
            }
        }
    }

    fn align(&mut self) {
        if self.used > 0 {
            self.bytes.push(self.last as u8);
            (self.last, self.used) = (0, 0);
        }
    }
}

fn name(coding: &str) -> &str {
    if coding == "raw" { "deflate" } else { coding }
}

/// The decoded `body` when it arrives in pieces of these lengths, repeated.
fn decoded(coding: &str, body: &[u8], lengths: &[usize]) -> Result<Vec<u8>, Fault> {
    let mut decoder = Decoder::named(name(coding)).unwrap();
    let (mut all, mut rest) = (Vec::new(), body);
    let mut out = [0; 1000];
    let mut lengths = lengths.iter().cycle();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((*lengths.next().unwrap()).min(rest.len()));
        rest = after;
        decoder.push(Bytes::copy_from_slice(piece));
        loop {
            match decoder.pull(&mut out)? {
                0 => break,
                length => all.extend(&out[..length]),
            }
        }
    }
    loop {
        match decoder.finish(&mut out)? {
            0 => return Ok(all),
            length => all.extend(&out[..length]),
        }
    }
}

#[test]
fn field_names_one_coding_that_is_known() {
    for (values, expected) in [
        (&[][..], Ok(false)),
        (&["identity"], Ok(false)),
        (&["Identity", ""], Ok(false)),
        (&["gzip"], Ok(true)),
        (&["X-GZip , identity"], Ok(true)),
        (&["zstd"], Ok(true)),
        (&["br"], Ok(true)),
        (&["deflate"], Ok(true)),
        (&["compress"], Err(Fault::UnknownCoding)),
        (&["gzip, br"], Err(Fault::UnknownCoding)),
        (&["gzip", "gzip"], Err(Fault::UnknownCoding)),
    ] {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, value.parse().unwrap());
        }
        let found = Decoder::of(&headers).map(|decoder| decoder.is_some());
        assert_eq!(found, expected, "{values:?}");
    }
}

#[test]
fn bodies_that_are_incomplete_or_broken_or_too_long_are_refused() {
    let text = b"{\"model\":\"m\",\"messages\":[]}".repeat(100);
    for coding in CODINGS {
        let whole = encoded(coding, &text);
        assert_eq!(decoded(coding, &whole, &[7]).unwrap(), text, "{coding}");
        let cut = &whole[..whole.len() - 1];
        assert_eq!(
            decoded(coding, cut, &[64]),
            Err(Fault::NotDecodable),
            "{coding}"
        );
        assert_eq!(
            decoded(coding, b"", &[1]),
            Err(Fault::NotDecodable),
            "{coding}"
        );
        let more = [&whole[..], b"more"].concat();
        assert_eq!(
            decoded(coding, &more, &[9]),
            Err(Fault::NotDecodable),
            "{coding}"
        );
    }
    for coding in ["gzip", "br", "zstd"] {
        let plain = decoded(coding, b"{\"model\":\"m\"}", &[5]);
        assert_eq!(plain, Err(Fault::NotDecodable), "{coding}");
    }
    // Several members or frames make up one body.
    for coding in ["gzip", "zstd"] {
        let twice = encoded(coding, &text).repeat(2);
        assert_eq!(decoded(coding, &twice, &[11]).unwrap(), text.repeat(2));
    }
}

#[test]
fn a_decompression_bomb_is_refused_early_and_takes_little_memory() {
    for coding in ["gzip", "deflate", "zstd"] {
        let mut decoder = Decoder::named(coding).unwrap();
        let bomb = encoded(coding, &vec![b'x'; 64 << 20]);
        let mut out = [0; 16 * 1024];
        let mut pieces = bomb.chunks(4096).map(Bytes::copy_from_slice);
        let end = loop {
            match decoder.pull(&mut out) {
                Ok(0) => match pieces.next() {
                    Some(piece) => decoder.push(piece),
                    None => panic!("{coding}: decoded to its end"),
                },
                Ok(_) => {}
                Err(fault) => break fault,
            }
        };
        assert_eq!(end, Fault::Bomb, "{coding}");
        assert!(decoder.decoded <= 2 * FREE, "{decoder:?}");
        assert!(decoder.memory() < 9 << 20, "{coding}: {}", decoder.memory());
    }
}

#[test]
fn zstd_windows_above_what_http_allows_are_refused() {
    // RFC 8878, 3.1.1.1: a window of 1 GiB.
    let huge = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0x01, 0x00, 0x00];
    assert_eq!(decoded("zstd", &huge, &[9]), Err(Fault::NotDecodable));
}

proptest! {
    #[test]
    fn the_result_does_not_depend_on_cuts(
        text: Vec<u8>,
        times in 1usize..2000,
        lengths in proptest::collection::vec(1usize..5000, 1..5),
    ) {
        let text = text.repeat(times);
        for coding in CODINGS {
            let body = encoded(coding, &text);
            let found = decoded(coding, &body, &lengths);
            prop_assert_eq!(found.as_ref(), Ok(&text), "{}", coding);
        }
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        for coding in CODINGS {
            let _ = decoded(coding, &bytes, &[3]);
        }
    }
}

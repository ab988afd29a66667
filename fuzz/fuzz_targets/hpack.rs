//! Whatever header blocks a peer sends: they are decoded or refused, and what was decoded is the same after it
//! was encoded and decoded once more.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tailback::http2::hpack::{Field, HeaderDecoder, HeaderEncoder};

/// The largest header list that is read, in bytes.
const MOST: usize = 64 * 1024;

fuzz_target!(|blocks: Vec<Vec<u8>>| {
    let mut decoder = HeaderDecoder::new();
    let (mut encoder, mut again) = (HeaderEncoder::new(), HeaderDecoder::new());
    for block in blocks {
        let mut fields = Vec::new();
        let Ok(_) = decoder.decode(&block, MOST, |field| fields.push(field)) else {
            return;
        };
        let mut out = Vec::new();
        encoder.begin(&mut out);
        // HTTP and HTTPS are the only schemes that are sent, and no protocol is.
        fields.retain(|field| match field {
            Field::Scheme(scheme) => matches!(&scheme[..], b"http" | b"https"),
            Field::Protocol(_) => false,
            _ => true,
        });
        for field in &fields {
            match field {
                Field::Method(method) => encoder.method(method, &mut out),
                Field::Scheme(scheme) => encoder.scheme(&scheme[..] == b"https", &mut out),
                Field::Authority(authority) => encoder.authority(authority, &mut out),
                Field::Path(path) => encoder.path(path, &mut out),
                Field::Status(status) => encoder.status(*status, &mut out),
                Field::Regular(name, value) => encoder.field(name, value, &mut out),
                Field::Protocol(_) => {}
            }
        }
        let mut seen = Vec::new();
        let read = again.decode(&out, usize::MAX, |field| seen.push(field));
        assert!(read.is_ok_and(|read| !read.is_malformed));
        assert_eq!(fields, seen);
    }
});

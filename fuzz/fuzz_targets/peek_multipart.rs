//! For any bytes in any pieces, the scanner does not panic and gives the same result, and the
//! name is at the reported position.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tailback::protocol::peek::{Multipart, Progress};
use tailback_fuzz::scan;

fuzz_target!(|input: (&[u8], u16, &[u8])| {
    let (content_type, at, bytes) = input;
    let _ = Multipart::of(content_type);
    let form = || Multipart::of(b"multipart/form-data; boundary=x").unwrap();
    let whole = scan(form, Multipart::feed, bytes, at);
    if let Progress::Found(found) = whole {
        assert_eq!(&bytes[found.span], found.name.as_bytes());
    }
});

//! For any bytes in any pieces, the scanner does not panic and gives the same result, and the
//! name is at the reported position.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tailback::protocol::peek::{Message, Progress};

fuzz_target!(|input: (u8, usize, &[u8])| {
    let (field, cut, bytes) = input;
    let field = u32::from(field % 8) + 1;
    let whole = Message::new(field).feed(bytes);
    let (a, b) = bytes.split_at(cut.min(bytes.len()));
    let mut scanner = Message::new(field);
    let pieces = match scanner.feed(a) {
        Progress::More => scanner.feed(b),
        end => end,
    };
    assert_eq!(whole, pieces);
    if let Progress::Found(found) = whole {
        assert!(bytes[found.span].ends_with(found.name.as_bytes()));
    }
});

//! For any bytes in any pieces, the scanner does not panic and gives the same result, and the
//! name is at the reported position.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tailback::protocol::peek::{BodyScanner, Message, MessageCoding, Progress, Rewriter};
use tailback_fuzz::{cut, scan};

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (field, at, bytes) = input;
    let field = u32::from(field % 8) + 1;
    let whole = scan(|| Message::new(field), Message::feed, bytes, at);
    if let Progress::Found(found) = whole {
        assert!(bytes[found.span].ends_with(found.name.as_bytes()));
    }
    for coding in [MessageCoding::Gzip, MessageCoding::Deflate] {
        compressed(field, cut(bytes, at), coding);
    }
});

/// The same of messages that may be compressed.
fn compressed(field: u32, pieces: [&[u8]; 2], coding: MessageCoding) {
    let mut scanner = BodyScanner::message(field, Some(coding));
    let mut rewriter = Rewriter::messages(field, vec!["m".into()], "n", Some(coding));
    for piece in pieces {
        let piece = Bytes::copy_from_slice(piece);
        let mut looked = scanner.feed(&piece).is_ok();
        while looked && scanner.is_busy() {
            looked = scanner.go_on().is_ok();
        }
        rewriter.push(piece);
        while let Ok(Some(_)) = rewriter.pull() {}
        if !looked {
            return;
        }
    }
    let _ = scanner.end();
    while let Ok(Some(_)) = rewriter.finish() {}
}

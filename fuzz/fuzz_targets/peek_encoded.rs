//! For any bytes in any pieces, the scanner does not panic, terminates, and gives the same
//! result; the decoded size stays within its limit.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tailback::protocol::peek::{BodyScanner, Decoder, Fault, Found, Json, Scan, Scanner};
use tailback_fuzz::cut;

const CODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

/// What is found in `pieces`, which are those of one body.
fn scanned(coding: &str, pieces: &[&[u8]]) -> Result<Found, Fault> {
    let decoder = Decoder::named(coding)?;
    let mut scanner = BodyScanner::new(Scanner::Json(Json::default()), Some(decoder));
    let mut found = None;
    for piece in pieces {
        let mut scan = scanner.feed(&piece.to_vec().into())?;
        loop {
            assert!(scanner.memory() < 32 << 20);
            if let Scan::Found(name) = scan {
                found = Some(name);
            }
            if !scanner.is_busy() {
                break;
            }
            scan = scanner.go_on()?;
        }
    }
    match found {
        Some(found) => scanner.end().map(|()| found),
        None => scanner.finish(),
    }
}

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (coding, at, bytes) = input;
    let coding = CODINGS[usize::from(coding) % CODINGS.len()];
    let [a, b] = cut(bytes, at);
    let (whole, pieces) = (scanned(coding, &[bytes]), scanned(coding, &[a, b]));
    // Where a body breaks in the midst, what was decoded of it before may differ: one
    // may have found out what is wrong with the content, the other with the coding.
    if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
        assert_eq!(whole, pieces);
    }
});

//! Whatever frames a caller sends by HTTP/2: they come to an end, no count is wrong, and the replica reads no
//! request that was not counted.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tailback_fuzz::{Frame, pieces, proxied};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fuzz_target!(|frames: Vec<Frame>| {
    let found = proxied(pieces(PREFACE, &frames));
    assert!(found.to_be_counted <= found.counted, "{found:?}");
    assert!(
        found
            .forwarded
            .iter()
            .all(|(path, ..)| path.starts_with("/v2/models/m")),
        "{found:?}"
    );
});

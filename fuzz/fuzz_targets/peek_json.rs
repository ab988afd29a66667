//! For any bytes in any pieces, the scanner does not panic and gives the same result. If
//! serde_json finds an object with a text `model`, so does the scanner.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tailback::protocol::peek::{Json, Progress};
use tailback_fuzz::scan;

fuzz_target!(|input: (u16, &[u8])| {
    let (at, bytes) = input;
    let whole = scan(Json::default, Json::feed, bytes, at);
    let Ok(serde_json::Value::Object(object)) = serde_json::from_slice(bytes) else {
        return;
    };
    if let Some(serde_json::Value::String(name)) = object.get("model")
        && name.len() <= 1024
    {
        // Of several, serde_json keeps the last, the scanner the first.
        assert!(
            matches!(whole, Progress::Found(_) | Progress::Not(_)),
            "{name:?}: {whole:?}"
        );
    }
});

//! Whatever a caller sends by HTTP/1.1, in any pieces: it comes to an end, no count is wrong, and the replica
//! reads no request that was not counted and was not for the model.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tailback_fuzz::proxied;

/// Words of requests, also such as no request should have.
const WORDS: [&str; 46] = [
    "GET ",
    "POST ",
    "PUT ",
    "HEAD ",
    "OPTIONS ",
    "CONNECT ",
    "/v2/models/m/infer",
    "/v2/models/m",
    "/v2/models/x/infer",
    "/../",
    "/%2e%2e/",
    "//",
    "?a=b",
    "#f",
    "http://h/v2/models/m/infer",
    "*",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    "\0",
    ":",
    ",",
    ";",
    "host: h\r\n",
    "Host: a, b\r\n",
    "content-length: ",
    "content-length: 5\r\n",
    "content-length: 5, 5\r\n",
    "transfer-encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "transfer-encoding : chunked\r\n",
    "connection: close\r\n",
    "connection: keep-alive, te\r\n",
    "expect: 100-continue\r\n",
    "upgrade: websocket\r\nconnection: upgrade\r\n",
    "seldon-model: m\r\n",
    "content-type: application/json\r\n",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "hello",
    "{\"model\": \"m\"}",
    "GET /v2/models/m/ok HTTP/1.1\r\nhost: h\r\n\r\n",
];

#[derive(Arbitrary, Debug)]
enum Word {
    Known(u8),
    Number(u16),
    Hex(u16),
    Bytes(Vec<u8>),
    /// The next piece begins.
    Pause,
}

fuzz_target!(|words: Vec<Word>| {
    let mut pieces = vec![Vec::new()];
    for word in &words {
        let last = pieces.last_mut().unwrap();
        match word {
            Word::Known(number) => {
                last.extend_from_slice(WORDS[usize::from(*number) % WORDS.len()].as_bytes());
            }
            Word::Number(number) => last.extend_from_slice(number.to_string().as_bytes()),
            Word::Hex(number) => last.extend_from_slice(format!("{number:x}").as_bytes()),
            Word::Bytes(bytes) => last.extend_from_slice(bytes),
            Word::Pause => pieces.push(Vec::new()),
        }
    }
    let found = proxied(pieces);
    assert!(found.to_be_counted <= found.counted, "{found:?}");
    for (path, host, _) in &found.forwarded {
        let is_models = path.starts_with("/v2/models/m") || path.starts_with("/v2") || path == "/";
        assert!(is_models || !path.contains("/../"), "{found:?}");
        assert!(!host.contains([',', ' ', '<']), "{found:?}");
    }
    assert!(
        found.answer.is_empty() || found.answer.starts_with(b"HTTP/1."),
        "{found:?}"
    );
});

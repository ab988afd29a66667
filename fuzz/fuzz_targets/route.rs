//! Any header value and path name one model or none.
#![no_main]

use http::{HeaderMap, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use tailback::protocol::{
    ApiProtocol,
    route::{MODEL_HEADER, Route, route},
};

fuzz_target!(|input: (&[u8], &str)| {
    let (header, path) = input;
    let mut headers = HeaderMap::new();
    if let (false, Ok(value)) = (header.is_empty(), HeaderValue::from_bytes(header)) {
        headers.insert(MODEL_HEADER, value);
    }
    let api = ApiProtocol::of(&headers, path);
    if let Route::Model(name) = route(api, &Method::POST, &headers, path) {
        assert!(!name.is_empty());
        assert!(headers.contains_key(MODEL_HEADER) || !name.contains('/'));
    }
});

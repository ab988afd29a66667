//! Any header value, path and query name one model, or none; and what is forwarded is what was
//! looked up.
#![no_main]

use http::{HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use tailback::{
    message::HeaderMap,
    protocol::{
        api::{Normal, find, normal},
        model_name::{MODEL_HEADER, in_header, in_query, names_in_path},
    },
};

fuzz_target!(|input: (&[u8], &str, &str)| {
    let (header, path, query) = input;
    let mut headers = HeaderMap::new();
    if let (false, Ok(value)) = (header.is_empty(), HeaderValue::from_bytes(header)) {
        headers.insert(MODEL_HEADER, value);
    }
    if let Ok(Some(name)) = in_header(&headers) {
        assert!(!name.is_empty());
    }
    if let Ok(Some((at, name))) = in_query(query) {
        assert!(!name.is_empty() && query.get(at).is_some());
    }
    let path = match normal(path) {
        Normal::Already => path.to_owned(),
        Normal::Changed(path) => path,
        Normal::Dots => return,
    };
    assert_eq!(normal(&path), Normal::Already);
    let found = find(&headers, &Method::POST, &path);
    for (length, name) in names_in_path(&path[found.name], 3) {
        assert!(!name.is_empty() && length <= path.len());
    }
});

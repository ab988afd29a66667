//! The prompt of any body is part of it, and a body that goes on keeps the hashes that it has.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tailback::{
    admission::balance::chain,
    protocol::prompt::{member, parts},
};

fuzz_target!(|body: &[u8]| {
    let found: usize = parts(body).iter().map(|part| part.len()).sum();
    assert!(found <= body.len());
    let blocks = chain(parts(body), 8);
    assert_eq!(blocks.len(), found / 8);
    assert!(member(body, "user").is_none_or(|value| !value.is_empty()));
});

//! Any path and body of an order on the admin address is understood, or is none; and an order names what the
//! path names.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tailback::admin::orders::{Order, ScaleBody};

fuzz_target!(|input: (&str, &[u8])| {
    let (path, body) = input;
    if let Some(order) = Order::parse(path) {
        assert!(
            path == "/reload" || path.starts_with("/models/"),
            "{order:?}"
        );
    }
    match ScaleBody::parse(body) {
        Ok(order) => assert!(order.replicas <= 10_000 && order.seconds <= 24 * 60 * 60),
        Err(why) => assert!(!why.is_empty()),
    }
});

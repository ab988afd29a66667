//! Any lines of another proxy are read or refused with a reason, are written again as they were, and never
//! make a sum negative.

#![no_main]

use std::{collections::BTreeSet, net::SocketAddr};

use libfuzzer_sys::fuzz_target;
use tailback_scaler::{
    clock::Nanos,
    peers::{counts_update::CountsUpdate, peer_counts::PeerCounts},
};

fuzz_target!(|text: &[u8]| {
    let addresses: [SocketAddr; 2] = [([127, 0, 0, 1], 1).into(), ([127, 0, 0, 2], 2).into()];
    let mut peers = PeerCounts::new("own".to_owned());
    let mut models = BTreeSet::new();
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let now = Nanos(1_000_000_000 * (number as u64 + 1));
        let address = addresses[number % 2];
        match CountsUpdate::parse(line) {
            Ok(update) => {
                let again = CountsUpdate::parse(update.text().as_bytes());
                assert_eq!(again.expect("what is written can be read"), update);
                models.extend(update.models.keys().cloned());
                peers.apply(address, update, now);
            }
            Err(why) => {
                assert!(!why.to_string().is_empty());
                peers.lost(address, now);
            }
        }
        peers.pass(now);
    }
    for model in &models {
        let total = peers.total(model);
        assert!(
            (total.in_flight() as i64) >= 0 || models.len() > 1,
            "{total:?}"
        );
    }
    peers.listed(&BTreeSet::new());
    assert!(peers.take_changes().len() <= models.len());
});

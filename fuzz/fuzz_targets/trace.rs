//! Any bytes give recorded traffic or an error with a message, and the requests that are read are
//! in order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tailback_scaler::simulate::read::{ReadOptions, Whose, read};

// Of all models, of one, or of the only one.
fuzz_target!(|input: (Option<Option<&str>>, &[u8])| {
    let (model, bytes) = input;
    let options = ReadOptions {
        whose: match model {
            None => Whose::All,
            Some(Some(model)) => Whose::Model(model.to_owned()),
            Some(None) => Whose::OnlyOne,
        },
        ..ReadOptions::default()
    };
    match read(bytes, &options) {
        Ok(found) => {
            let requests = found.trace.requests();
            assert_eq!(requests.first().map(|first| first.at.0), Some(0));
            assert!(requests.is_sorted_by_key(|request| request.at));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

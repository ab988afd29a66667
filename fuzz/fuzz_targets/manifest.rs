//! Any text gives a configuration, or a list of errors with their locations.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tailback_config::{Env, describe, load_text};

fuzz_target!(|text: &str| {
    match load_text(Path::new("m.yaml"), text, &Env::default()) {
        Ok(config) => assert!(!describe(&config).is_empty()),
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
});

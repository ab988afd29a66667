//! Any file of API keys is read, or refused with the place of what is wrong; and a key that is added to it is
//! in it.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tailback_config::ApiKeysFile;

fuzz_target!(|text: &str| {
    let path = Path::new("keys.yaml");
    match ApiKeysFile::parse(path, text.to_owned()) {
        Ok(file) => {
            let names: Vec<_> = file.keys().iter().map(|key| key.name.clone()).collect();
            let again = ApiKeysFile::parse(path, file.text().to_owned());
            let again = again.expect("its own text is such a file");
            assert_eq!(again.keys().len(), names.len());
            for name in &names {
                let fewer = file.without(path, name).expect("it is there");
                assert_eq!(fewer.keys().len() + 1, names.len());
            }
        }
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
});

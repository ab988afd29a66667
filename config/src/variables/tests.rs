use super::*;

#[test]
fn every_variable_but_secrets_and_opentelemetrys_has_an_option_of_its_own() {
    let mut flags = std::collections::BTreeSet::new();
    for variable in VARIABLES {
        match variable.flag() {
            Some(flag) => assert!(flags.insert(flag), "{}", variable.name),
            None => {
                let is_secret = variable.name.ends_with("_TOKEN");
                assert!(
                    is_secret || variable.name.starts_with("OTEL_"),
                    "{}",
                    variable.name
                );
            }
        }
    }
    assert!(flags.contains("listen") && flags.contains("lag-threshold"));
}

use std::num::NonZeroU32;
use std::path::Path;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;
use crate::{NamePattern, Sha256};

fn read(text: &str) -> Result<ApiKeysFile, Errors> {
    ApiKeysFile::parse(Path::new("keys.yaml"), text.to_owned())
}

fn key(name: &str, hash: u8) -> ApiKey {
    ApiKey::new(name, Sha256([hash; 32])).unwrap()
}

fn names(file: &ApiKeysFile) -> Vec<&str> {
    file.keys().iter().map(|key| key.name.as_str()).collect()
}

const TWO: &str = "\
# The keys of the chat team.
apiVersion: tailback.dev/v1alpha1
kind: ApiKey
metadata: { name: alice }
spec:
  sha256: 0101010101010101010101010101010101010101010101010101010101010101
  models: [llama-*, mistral]
  class: interactive
  requestsPerMinute: 600
  concurrency: 8
  expires: 2027-01-31
---
apiVersion: tailback.dev/v1alpha1
kind: ApiKey
metadata: { name: batch.jobs }
spec:
  certificateSha256: \"AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB\"
";

#[test]
fn a_file_of_keys_is_read_with_everything_that_keys_may_have() {
    let file = read(TWO).unwrap();
    let [alice, batch] = file.keys() else {
        panic!("{file:?}");
    };
    assert_eq!(alice.sha256, Some(Sha256([1; 32])));
    assert!(alice.allows(["mistral"].into_iter()) && alice.allows(["x", "llama-3"].into_iter()));
    assert!(!alice.allows(["mistral-2"].into_iter()));
    assert_eq!(alice.class.as_deref(), Some("interactive"));
    assert_eq!(alice.requests_per_minute, NonZeroU32::new(600));
    assert_eq!(alice.concurrency, NonZeroU32::new(8));
    let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(1_801_353_600);
    assert_eq!(alice.expires, Some(expires));
    assert!(alice.is_expired(expires) && !alice.is_expired(expires - Duration::from_nanos(1)));
    assert_eq!(
        (batch.sha256, batch.certificate),
        (None, Some(Sha256([0xab; 32])))
    );
    assert!(batch.allows(["anything"].into_iter()) && !batch.is_expired(SystemTime::now()));
    assert!(read("").unwrap().keys().is_empty());
    assert!(read("# nobody\n---\n").unwrap().keys().is_empty());
}

#[test]
fn an_error_in_a_file_of_keys_says_where_it_is_and_never_shows_a_key() {
    let one = |spec: &str| {
        format!(
            "{{apiVersion: tailback.dev/v1alpha1, kind: ApiKey, metadata: {{name: a}}, spec: {spec}}}"
        )
    };
    let hash = "01".repeat(32);
    for (text, part) in [
        (
            one("{ sha256: sk-secret }"),
            "(ApiKey a), line 1: spec.sha256: expected 64 hexadecimal digits",
        ),
        (one("{}"), "found neither sha256 nor certificateSha256"),
        (
            one(&format!("{{ sha256: '{hash}', models: ['a*b'] }}")),
            "spec.models[0]: found \"a*b\"",
        ),
        (
            one(&format!("{{ sha256: '{hash}', class: A_B }}")),
            "spec.class: found \"A_B\"",
        ),
        (
            one(&format!("{{ sha256: '{hash}', expires: never }}")),
            "such as 2027-01-31",
        ),
        (
            one(&format!("{{ sha256: '{hash}', concurrency: 0 }}")),
            "spec.concurrency: found \"0\"",
        ),
        (
            one(&format!("{{ sha256: '{hash}', concurency: 1 }}")),
            "did you mean concurrency?",
        ),
        (
            one(&format!("{{ sha256: '{hash}' }}")).replace("ApiKey", "Model"),
            "only API keys are read here",
        ),
        (
            one(&format!("{{ sha256: '{hash}' }}")).replace(": a}", ": A}"),
            "as Kubernetes has them",
        ),
        ("[]".to_owned(), "expected a map"),
        ("a: [".to_owned(), "keys.yaml: document 1, line"),
    ] {
        let error = read(&text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
        assert!(
            error.starts_with("keys.yaml: document 1") && !error.contains("sk-secret"),
            "{error}"
        );
    }
    let twice = format!("{TWO}---\n{TWO}");
    let error = read(&twice).unwrap_err();
    assert_eq!(error.count(), 4, "names and hashes: {error}");
    assert!(
        error.to_string().contains("document 3 (ApiKey alice)"),
        "{error}"
    );
}

#[test]
fn adding_and_revoking_keys_leaves_all_else_as_it_is() {
    let path = Path::new("keys.yaml");
    let file = read(TWO).unwrap();
    let mut carol = key("carol", 3);
    carol.models = Some(vec![NamePattern::parse("a: \"b*").unwrap()]);
    carol.class = Some("batch".to_owned());
    carol.expires = ApiKey::parse_time("2027-01-31T12:00:00Z");
    let three = file.with(path, &carol).unwrap();
    assert!(three.text().starts_with(TWO));
    assert_eq!(names(&three), ["alice", "batch.jobs", "carol"]);
    let read_back = &three.keys()[2];
    let place = read_back.place.clone();
    assert_eq!(
        *read_back,
        ApiKey {
            place,
            ..carol.clone()
        }
    );
    assert!(three.with(path, &key("alice", 9)).is_err());
    assert_eq!(
        names(&three.without(path, "batch.jobs").unwrap()),
        ["alice", "carol"]
    );
    assert_eq!(three.without(path, "carol").unwrap().text(), TWO);
    let last = three.without(path, "alice").unwrap();
    assert_eq!(names(&last), ["batch.jobs", "carol"]);
    let none = last
        .without(path, "carol")
        .unwrap()
        .without(path, "batch.jobs")
        .unwrap();
    assert_eq!(names(&none), Vec::<&str>::new());
    assert!(
        none.without(path, "carol")
            .unwrap_err()
            .contains("no API key \"carol\"")
    );
    assert_eq!(
        names(&ApiKeysFile::empty().with(path, &carol).unwrap()),
        ["carol"]
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[ -~\n]{0,200}|(---|\\.\\.\\.|kind: ApiKey|spec:|[ \n#{}'\"]){0,30}") {
        let _ = read(&text);
    }

    /// Whatever order they come and go in, the file has the keys that it should have.
    #[test]
    fn a_file_has_the_keys_that_were_added_and_not_revoked(
        steps in proptest::collection::vec((any::<bool>(), 0_u8..6), 0..20)
    ) {
        let path = Path::new("keys.yaml");
        let mut file = ApiKeysFile::empty();
        let mut model: Vec<String> = Vec::new();
        for (adds, n) in steps {
            let name = format!("k{n}");
            let known = model.contains(&name);
            if adds {
                let added = file.with(path, &key(&name, n));
                prop_assert_eq!(added.is_ok(), !known);
                if let Ok(added) = added {
                    file = added;
                    model.push(name);
                }
            } else {
                let without = file.without(path, &name);
                prop_assert_eq!(without.is_ok(), known);
                if let Ok(without) = without {
                    file = without;
                    model.retain(|other| *other != name);
                }
            }
            prop_assert_eq!(names(&file), model.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}

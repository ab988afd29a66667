use std::path::Path;

use super::*;
use crate::{
    message::HeaderMap,
    {api_keys::worker_keys::WorkerKeys, status::Outcome},
};

/// A file of keys. Each key is `key-` and its name.
fn file(keys: &[(&str, &str)]) -> ApiKeysFile {
    let document = |(name, more): &(&str, &str)| {
        let hash = sha256(format!("key-{name}").as_bytes());
        format!(
            "{{apiVersion: tailback.dev/v1alpha1, kind: ApiKey, metadata: {{name: {name}}}, \
             spec: {{sha256: '{hash}'{more}}}}}\n---\n"
        )
    };
    let text = keys.iter().map(document).collect();
    ApiKeysFile::parse(Path::new("keys.yaml"), text).unwrap()
}

fn worker(keys: &ApiKeys) -> WorkerKeys {
    WorkerKeys::new(keys, &[vec!["llama", "gpt-4"], vec!["iris"]])
}

fn find(keys: &WorkerKeys, key: &str) -> Result<Caller, KeyRefusal> {
    let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, key.parse().unwrap())]);
    let found = keys.find(&headers, None);
    found.map(Caller::Key).map_err(|(refusal, _)| refusal)
}

#[test]
fn a_key_is_found_by_its_hash_and_opens_its_models_alone() {
    let file = file(&[
        ("a", ", models: ['gpt-*']"),
        ("b", ", expires: 2020-01-01"),
        ("c", ""),
    ]);
    let keys = worker(&ApiKeys::new(&file, None, &MetricsStore::default()));
    let a = find(&keys, "Bearer key-a").unwrap();
    assert!(a.authorize("llama"), "by its alias");
    assert!(
        !a.authorize("iris") && !a.authorize("gpt-4"),
        "only own names are asked for"
    );
    let c = find(&keys, "Bearer key-c").unwrap();
    assert!(c.may_use("iris") && c.may_use("any other"));
    assert_eq!(
        find(&keys, "Bearer key-b").unwrap_err(),
        KeyRefusal::Expired
    );
    assert_eq!(find(&keys, "Bearer key-").unwrap_err(), KeyRefusal::Unknown);
    assert_eq!(find(&keys, "Basic key-a").unwrap_err(), KeyRefusal::Missing);
    let hash = sha256(b"key-a").to_string();
    let by_hash = find(&keys, &format!("Bearer {hash}"));
    assert_eq!(
        by_hash.unwrap_err(),
        KeyRefusal::Unknown,
        "a hash is no key"
    );
    assert!(!Caller::Stranger.may_use("iris") && Caller::Anyone.may_use("iris"));
}

#[test]
fn limits_and_counts_go_on_over_a_reload() {
    let metrics = MetricsStore::default();
    let limited = |limits| file(&[("a", limits)]);
    let before = ApiKeys::new(
        &limited(", concurrency: 2, requestsPerMinute: 3"),
        None,
        &metrics,
    );
    let a = find(&worker(&before), "Bearer key-a").unwrap();
    let now = Nanos(1_000_000_000);
    let first = a.begin(now).unwrap().unwrap();
    let second = a.begin(now).unwrap().unwrap();
    assert_eq!(a.begin(now).unwrap_err(), TooMany::AtOnce { limit: 2 });

    let after = ApiKeys::new(&limited(", requestsPerMinute: 3"), Some(&before), &metrics);
    let again = find(&worker(&after), "Bearer key-a").unwrap();
    drop(again.begin(now).unwrap());
    let wait = Duration::from_secs(20);
    assert_eq!(
        again.begin(now).unwrap_err(),
        TooMany::PerMinute { limit: 3, wait }
    );
    first.end(Outcome::Success);
    drop(second);
    let counts = metrics.of_key("a");
    assert_eq!(counts.in_flight(), 0);
    assert_eq!(counts.ended(Outcome::Success), 1);
    assert_eq!(counts.ended(Outcome::CallerGone), 2);
    assert_eq!(counts.refusals(KeyRefusal::Rate), 1);
    assert_eq!(counts.refusals(KeyRefusal::Concurrency), 1);
}

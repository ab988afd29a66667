//! Drained endpoints, and names that share an address.

use std::path::Path;

use tailback_config::{Env, load_text};
use tokio::sync::mpsc;

use super::*;

const MODELS: &str = "\
apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: { name: s }
spec: { static: { endpoints: ['http://127.0.0.1:1', 'http://127.0.0.1:2'] } }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: a }
spec: { server: s }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: b }
spec: { server: s }
";

#[tokio::test]
async fn what_two_names_lead_to_is_one_replica_also_once_one_of_them_has_left_it() {
    let (events, mut inbox) = mpsc::unbounded_channel();
    let orchestrator = StaticEndpoints::new(events);
    let endpoints =
        "['http://one.test:1', 'http://two.test:1', 'http://127.0.0.9:1'], resolveSeconds: 3600";
    let text = MODELS.replace("['http://127.0.0.1:1', 'http://127.0.0.1:2']", endpoints);
    let config = load_text(Path::new("a.yaml"), &text, &Env::default()).unwrap();
    let model = config.models["a"].clone();
    orchestrator.follow(&model);
    let ready = |inbox: &mut mpsc::UnboundedReceiver<ReplicaSet>| {
        let set = std::iter::from_fn(|| inbox.try_recv().ok()).last().unwrap();
        assert_eq!(set.capacity as usize, set.ready.len() + set.leaving.len());
        let name = |replica: &Arc<Replica>| {
            let address = replica.address();
            format!("{} {}", address.authority, address.name)
        };
        set.ready.iter().map(name).collect::<Vec<_>>()
    };
    let found = |one: &[&str], two: &[&str]| {
        let addresses = ResolvedAddresses::known(&[("one.test", one), ("two.test", two)]);
        orchestrator.0.found("s", &addresses, None);
    };
    found(&["127.0.0.8", "127.0.0.9"], &["127.0.0.8"]);
    assert_eq!(
        ready(&mut inbox),
        ["127.0.0.8:1 one.test:1", "127.0.0.9:1 one.test:1"]
    );
    orchestrator
        .set_drained(&model, "127.0.0.8:1", true)
        .unwrap();
    // The other name still has the address, so the replica is still drained.
    found(&["127.0.0.9"], &["127.0.0.8"]);
    assert_eq!(ready(&mut inbox), ["127.0.0.9:1 one.test:1"]);
    orchestrator
        .set_drained(&model, "127.0.0.8:1", false)
        .unwrap();
    assert_eq!(
        ready(&mut inbox),
        ["127.0.0.9:1 one.test:1", "127.0.0.8:1 two.test:1"]
    );
    found(&["127.0.0.7"], &["127.0.0.8"]);
    assert_eq!(
        ready(&mut inbox),
        [
            "127.0.0.7:1 one.test:1",
            "127.0.0.8:1 two.test:1",
            "127.0.0.9:1 127.0.0.9:1"
        ]
    );
}

#[test]
fn a_drained_endpoint_is_out_for_all_models_of_its_server_until_it_is_resumed() {
    let (events, mut inbox) = mpsc::unbounded_channel();
    let orchestrator = StaticEndpoints::new(events);
    let config = load_text(Path::new("a.yaml"), MODELS, &Env::default()).unwrap();
    let models: Vec<_> = config.models.values().cloned().collect();
    models.iter().for_each(|model| orchestrator.follow(model));
    let mut ready = || {
        let sets = std::iter::from_fn(|| inbox.try_recv().ok());
        let counts = sets.map(|set| (set.model, set.ready.len(), set.leaving.len()));
        counts.collect::<Vec<_>>()
    };
    let all = |ready, leaving| ["a", "b"].map(|name| (name.to_owned(), ready, leaving));
    assert_eq!(ready(), all(2, 0));
    let drain = |drained| orchestrator.set_drained(&models[0], "127.0.0.1:2", drained);
    drain(true).unwrap();
    assert_eq!(ready(), all(1, 1));
    // A reload changes nothing.
    models.iter().for_each(|model| orchestrator.follow(model));
    assert_eq!(ready(), all(1, 1));
    drain(false).unwrap();
    assert_eq!(ready(), all(2, 0));
}

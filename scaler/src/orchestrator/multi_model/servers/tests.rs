use std::path::Path;

use tailback_config::{Env, load_text};

use super::*;

/// A server that is asked for two replicas and has three, of which the first is to go.
fn server() -> (SharedServer, Vec<Arc<Replica>>) {
    let text = "{ apiVersion: tailback.dev/v1alpha1, kind: Server, metadata: { name: s }, spec: { memory: 2Gi, \
         multiModel: {}, kubernetes: { name: s, kind: StatefulSet, service: { name: s } } } }\n---\n\
         { apiVersion: tailback.dev/v1alpha1, kind: Model, metadata: { name: m }, spec: { server: s, memory: 1Gi } }\n";
    let config = load_text(Path::new("a.yaml"), text, &Env::default()).unwrap();
    let mut server = SharedServer::new(&config.models["m"], Nanos(0));
    let replica = |n: u32| Arc::new(Replica::new(format!("s-{n}"), "127.0.0.1:1", None));
    let replicas: Vec<_> = (0..3).map(replica).collect();
    server.changed(set(&replicas), Nanos(0));
    server.replicas[0].leaving = true;
    server.asked = Some(2);
    (server, replicas)
}

fn set(ready: &[Arc<Replica>]) -> ReplicaSet {
    ReplicaSet {
        ready: ready.to_vec(),
        ..ReplicaSet::default()
    }
}

#[test]
fn a_replica_that_was_to_go_stays_if_another_went_instead() {
    let (mut server, replicas) = server();
    server.changed(set(&replicas), Nanos(1));
    assert!(server.replicas[0].leaving, "nothing has gone yet");
    server.changed(set(&replicas[..2]), Nanos(2));
    assert!(server.replicas.iter().all(|own| !own.leaving));
}

#[test]
fn a_replica_that_was_given_up_stays_if_the_count_goes_up_again_before_it_has_gone() {
    let (mut server, replicas) = server();
    server.count_changes(3, 2);
    assert!(replicas[0].health().is_condemned() && !replicas[1].health().is_condemned());
    server.count_changes(2, 3);
    assert!(!replicas[0].health().is_condemned() && !server.replicas[0].leaving);
}

#[test]
fn a_lower_count_gives_up_no_more_replicas_than_it_says_and_empty_ones_first() {
    let (mut server, replicas) = server();
    server.replicas[2].leaving = true;
    let hosted = Hosted::new(
        &replicas[0],
        &server.as_model,
        PlacedState::Loaded,
        Nanos(0),
    );
    server.replicas[0].hosted.insert("m".into(), hosted);
    server.count_changes(3, 2);
    let given_up = |n: usize| replicas[n].health().is_condemned();
    assert!(given_up(2) && !given_up(0));
    server.count_changes(2, 1);
    assert!(given_up(0));
}

#[test]
fn a_replica_that_was_not_ready_for_a_moment_has_its_models_with_their_requests_in_flight() {
    let (mut server, replicas) = server();
    let hosted = Hosted::new(
        &replicas[1],
        &server.as_model,
        PlacedState::Loaded,
        Nanos(5),
    );
    let one = hosted.replica.clone();
    assert!(one.try_take());
    server.replicas[1].known = true;
    server.replicas[1].hosted.insert("m".into(), hosted);
    let now = Nanos(0) + REMEMBERED;
    server.changed(set(&[replicas[0].clone()]), now);
    // Nothing is placed before it is clear that it is not back at once.
    assert_eq!(server.settled_by(now), Some(now + BACK_AT_ONCE));
    let later = now + REMEMBERED + REMEMBERED;
    assert_eq!(server.settled_by(later), None);
    server.changed(set(&[replicas[0].clone()]), later);
    server.changed(set(&replicas[..2]), later);
    let back = &server.replicas[1];
    assert!(!back.known, "its index is read again");
    assert!(Arc::ptr_eq(&back.hosted["m"].replica, &one));
    assert_eq!(back.hosted["m"].since, Nanos(5));
}

#[test]
fn a_replica_that_has_ended_is_forgotten_at_once() {
    let (mut server, replicas) = server();
    replicas[1].close();
    server.changed(set(&replicas[..1]), Nanos(9));
    assert_eq!(server.absent.len(), 1, "the third may be back");
}

#[test]
fn a_replica_is_still_to_go_while_more_are_there_than_are_wanted() {
    let (mut server, replicas) = server();
    server.asked = Some(1);
    server.changed(set(&replicas[..2]), Nanos(2));
    assert!(server.replicas[0].leaving);
}

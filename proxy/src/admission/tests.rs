mod threads;

use super::*;
use std::time::Duration;
use tailback_scaler::replica::ReplicaId;

fn try_join(
    pool: &Arc<Pool>,
    awaited: Option<ReplicaId>,
    is_full: bool,
) -> Result<Ticket, NotQueued> {
    let held = Held {
        awaited,
        ..Held::default()
    };
    pool.join(held, || is_full, || {})
}

fn join(pool: &Arc<Pool>, awaited: Option<ReplicaId>) -> Ticket {
    try_join(pool, awaited, false).unwrap()
}

async fn replica_of(ticket: Ticket) -> Arc<Replica> {
    match ticket.granted().await {
        Granted::Permit(replica, _) => replica,
        other => panic!("{other:?}"),
    }
}

fn pool(concurrency: u32) -> (Arc<Pool>, Arc<Replica>) {
    let pool = Arc::new(Pool::default());
    let replica = Arc::new(Replica::new("m-0", "127.0.0.1:1", Some(concurrency)));
    pool.set_replicas(std::slice::from_ref(&replica));
    (pool, replica)
}

#[tokio::test]
async fn held_requests_hear_why_they_wait_in_vain_and_later_ones_wait() {
    let pool = Arc::new(Pool::default());
    let held = [join(&pool, None), join(&pool, None)];
    pool.refuse_held(&Arc::from("no such file"));
    assert!(!pool.has_waiters());
    for ticket in held {
        assert!(matches!(ticket.granted().await, Granted::Refused(why) if &*why == "no such file"));
    }
    let _later = join(&pool, None);
    assert!(pool.has_waiters());
}

#[tokio::test]
async fn held_requests_get_permits_in_order_as_slots_are_released() {
    let (pool, replica) = pool(1);
    assert!(replica.try_take());
    let first = join(&pool, None);
    let second = join(&pool, None);
    assert!(pool.has_waiters());
    pool.release(&replica, None);
    let granted = replica_of(first).await;
    assert_eq!((granted.name(), replica.in_flight()), ("m-0", 1));
    pool.release(&granted, None);
    replica_of(second).await;
    assert!(!pool.has_waiters());
}

#[tokio::test]
async fn a_held_request_that_leaves_releases_its_place_and_permit() {
    let (pool, replica) = pool(1);
    assert!(replica.try_take());
    let gone = join(&pool, None);
    drop(gone);
    assert!(!pool.has_waiters());
    // The permit was granted, but the request left before taking it.
    let granted = join(&pool, None);
    let next = join(&pool, None);
    pool.release(&replica, None);
    drop(granted);
    let replica = tokio::time::timeout(Duration::from_secs(5), replica_of(next))
        .await
        .unwrap();
    pool.release(&replica, None);
    assert_eq!(replica.in_flight(), 0);
}

#[tokio::test]
async fn a_request_that_waits_for_one_replica_lets_others_pass_and_gets_it_first() {
    let (pool, one) = pool(1);
    let other = Arc::new(Replica::new("m-1", "127.0.0.1:2", Some(1)));
    pool.set_replicas(&[one.clone(), other.clone()]);
    assert!(one.try_take() && other.try_take());
    let for_one = join(&pool, Some(one.id()));
    let for_any = join(&pool, None);
    pool.release(&other, None);
    assert_eq!(replica_of(for_any).await.name(), "m-1");
    let late = join(&pool, None);
    pool.release(&one, None);
    assert_eq!(replica_of(for_one).await.name(), "m-0");
    // Nobody waits for a replica that has gone.
    let for_one = join(&pool, Some(one.id()));
    pool.set_replicas(std::slice::from_ref(&other));
    pool.release(&other, None);
    assert_eq!(replica_of(late).await.name(), "m-1");
    pool.release(&other, None);
    assert_eq!(replica_of(for_one).await.name(), "m-1");
    assert!(!pool.has_waiters());
}

#[tokio::test]
async fn newly_ready_replica_gets_no_more_than_its_concurrency() {
    let pool = Arc::new(Pool::default());
    let places: Vec<_> = (0..5).map(|_| join(&pool, None)).collect();
    let replica = Arc::new(Replica::new("m-0", "127.0.0.1:1", Some(2)));
    pool.set_replicas(std::slice::from_ref(&replica));
    assert_eq!(replica.in_flight(), 2);
    assert!(pool.has_waiters());
    drop(places);
    assert_eq!(replica.in_flight(), 0, "the granted slots came back");
}

/// Pools of `n` models in one server's replica, whose concurrency for all of them is
/// `concurrency`.
fn hosted(n: usize, concurrency: u32) -> Vec<(Arc<Pool>, Arc<Replica>)> {
    let host = Arc::new(Replica::new("s-0", "127.0.0.1:1", Some(concurrency)));
    let pool = |_| {
        let pool = Arc::new(Pool::default());
        let replica = Arc::new(Replica::hosted(host.clone(), Some(concurrency)));
        pool.set_replicas(std::slice::from_ref(&replica));
        (pool, replica)
    };
    (0..n).map(pool).collect()
}

#[tokio::test]
async fn models_in_one_replica_share_its_concurrency_and_get_free_slots_in_turn() {
    let all = hosted(3, 1);
    let host = all[0].1.host().unwrap();
    let [(a, in_a), (b, _), (c, _)] = &all[..] else {
        panic!("three")
    };
    assert!(in_a.try_take());
    let order = [join(b, None), join(b, None), join(c, None), join(a, None)];
    let [b1, b2, c1, a1] = order;
    a.release(in_a, None);
    let in_b = replica_of(b1).await;
    assert_eq!(host.in_flight(), 1);
    b.release(&in_b, None);
    let in_c = replica_of(c1).await;
    c.release(&in_c, None);
    let in_a = replica_of(a1).await;
    a.release(&in_a, None);
    let in_b = replica_of(b2).await;
    b.release(&in_b, None);
    assert_eq!(host.in_flight(), 0);
    assert!(all.iter().all(|(pool, _)| !pool.has_waiters()));
}

#[tokio::test]
async fn a_model_that_is_full_itself_is_offered_no_slots_of_its_host_until_it_lacks_only_those() {
    let host = Arc::new(Replica::new("s-0", "127.0.0.1:1", Some(2)));
    let model = || Arc::new(Replica::hosted(host.clone(), Some(1)));
    let (in_a, in_b, in_c) = (model(), model(), model());
    let a = Arc::new(Pool::default());
    a.set_replicas(std::slice::from_ref(&in_a));
    assert!(in_a.try_take() && in_b.try_take());
    let held = join(&a, None);
    assert!(in_b.release().is_none(), "it lacks a slot of its own");
    assert!(in_b.try_take());
    // Now the model's replica has room, but its host has not.
    assert!(in_a.release().is_none() && in_c.try_take());
    a.serve_held();
    let told = in_b.release().expect("it lacks a slot of the host alone");
    told.offer_slots();
    assert_eq!(replica_of(held).await.id(), in_a.id());
    a.release(&in_a, None);
    in_c.release();
    assert_eq!(host.in_flight(), 0);
}

#[tokio::test]
async fn a_slot_of_a_host_that_a_caller_gives_back_goes_to_another_model() {
    let all = hosted(2, 1);
    let host = all[0].1.host().unwrap();
    let [(a, in_a), (b, _)] = &all[..] else {
        panic!("two")
    };
    assert!(in_a.try_take());
    let (gone, waits, leaves) = (join(b, None), join(a, None), join(b, None));
    a.release(in_a, None);
    drop(leaves);
    drop(gone); // the slot had been granted to it
    let in_a = replica_of(waits).await;
    a.release(&in_a, None);
    assert_eq!(host.in_flight(), 0);
}

#[test]
fn a_full_queue_refuses_requests() {
    let (pool, _) = pool(1);
    assert_eq!(try_join(&pool, None, true).unwrap_err(), NotQueued::Full);
}

#[tokio::test]
async fn a_closed_pool_drops_held_requests_and_refuses_new_ones() {
    let pool = Arc::new(Pool::default());
    let waiting = join(&pool, None);
    pool.close();
    assert!(matches!(waiting.granted().await, Granted::Closed));
    assert!(!pool.has_waiters());
    assert_eq!(try_join(&pool, None, false).unwrap_err(), NotQueued::Closed);
}

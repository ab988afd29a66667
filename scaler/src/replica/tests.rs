use super::*;

#[test]
fn takes_no_more_than_its_concurrency() {
    let replica = Replica::new("m-0", "127.0.0.1:1", Some(2));
    assert!(replica.try_take() && replica.try_take());
    assert!(!replica.try_take());
    replica.release();
    assert!(replica.try_take_announced());
    assert!(replica.take_beyond() && replica.in_flight() == 3);
    replica.close();
    assert!(!replica.take_beyond());
}

#[test]
fn requests_of_another_process_take_slots_and_keep_it_in_use() {
    let replica = Replica::new("m-0", "127.0.0.1:1", Some(2));
    replica.set_elsewhere(2, true);
    assert!(!replica.try_take() && replica.in_flight() == 2);
    replica.set_elsewhere(1, true);
    assert!(replica.try_take());
    replica.close();
    replica.release();
    replica.set_elsewhere(0, true);
    assert!(replica.in_flight() == 0 && replica.is_in_use());
    replica.set_elsewhere(0, false);
    assert!(!replica.is_in_use() && replica.is_closed());
}

#[test]
fn requests_of_hosted_models_count_at_the_host_and_end_when_it_is_closed() {
    let host = Arc::new(Replica::new("mlserver-0", "127.0.0.1:1", None));
    let iris = Replica::hosted(host.clone(), Some(1));
    let wine = Replica::hosted(host.clone(), None);
    assert!(iris.try_take() && !iris.try_take() && wine.try_take());
    assert_eq!((iris.in_flight(), host.in_flight()), (1, 2));
    host.close();
    assert!(!wine.try_take() && !wine.has_room() && wine.is_closed());
    assert_eq!((wine.in_flight(), host.in_flight()), (1, 2));
    iris.release();
    wine.release();
    assert_eq!((wine.in_flight(), host.in_flight()), (0, 0));
}

#[test]
fn a_host_takes_no_more_of_all_its_models_than_its_concurrency() {
    let host = Arc::new(Replica::new("mlserver-0", "127.0.0.1:1", Some(2)));
    let iris = Replica::hosted(host.clone(), Some(2));
    let wine = Replica::hosted(host.clone(), None);
    assert!(iris.is_bounded_by_host() && !host.is_bounded_by_host());
    assert!(iris.try_take() && wine.try_take());
    assert!(!iris.try_take() && !iris.has_room() && !wine.try_take_announced());
    assert_eq!(
        (iris.in_flight(), wine.in_flight(), host.in_flight()),
        (1, 1, 2)
    );
    assert!(wine.take_beyond(), "no other replica can answer it");
    assert_eq!(host.in_flight(), 3);
    assert!(
        wine.release().is_none() && wine.release().is_none(),
        "nobody waits"
    );
    assert!(iris.try_take());
}

#[test]
fn closed_takes_nothing_and_finishes_what_it_has() {
    let replica = Replica::new("m-0", "127.0.0.1:1", None);
    assert!(replica.try_take());
    replica.close();
    assert!(!replica.try_take() && !replica.try_take_announced());
    assert_eq!(replica.in_flight(), 1);
    replica.release();
    assert_eq!(replica.in_flight(), 0);
    assert!(replica.is_closed());
    replica.reopen();
    assert!(!replica.is_closed() && replica.try_take());
    assert_eq!(replica.in_flight(), 1);
}

use super::*;
use loom::{sync::Arc, thread};

#[test]
fn loom_closed_and_empty_stays_empty() {
    loom::model(|| {
        let replica = Arc::new(Replica::new("m-0", "h:1", None));
        let user = replica.clone();
        let request = thread::spawn(move || user.try_take());
        replica.close();
        let empty = replica.in_flight() == 0;
        let took = request.join().unwrap();
        assert!(
            !(empty && took),
            "a slot was taken after the replica was closed and empty"
        );
    });
}

#[test]
fn loom_freed_slot_is_seen_by_the_waiter_or_the_waiter_by_the_releaser() {
    loom::model(|| {
        let replica = Arc::new(Replica::new("m-0", "h:1", Some(1)));
        let waiters = Arc::new(AtomicU32::new(0));
        assert!(replica.try_take());
        let (r, w) = (replica.clone(), waiters.clone());
        let releaser = thread::spawn(move || {
            r.release();
            w.load(Ordering::Relaxed) > 0
        });
        waiters.fetch_add(1, Ordering::Relaxed);
        let took = replica.try_take_announced();
        let told = releaser.join().unwrap();
        assert!(took || told, "the waiter sleeps beside a free slot");
    });
}

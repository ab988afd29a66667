use super::{health::HealthReport, *};
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

/// A pool without requests.
struct NoTraffic;

impl Traffic for NoTraffic {
    fn set_replicas(&self, _ready: &[std::sync::Arc<Replica>]) {}
    fn serve_held(&self) {}
    fn refuse_held(&self, _why: &std::sync::Arc<str>) {}
    fn review_health(&self, _now: crate::clock::Nanos) {}
    fn report_health(&self, _: &Replica, _: HealthReport, _: crate::clock::Nanos) {}
}

#[test]
fn loom_freed_slot_of_a_host_is_seen_by_the_waiting_pool_or_the_pool_by_the_releaser() {
    loom::model(|| {
        let host = std::sync::Arc::new(Replica::new("s-0", "h:1", Some(1)));
        let busy = Arc::new(Replica::hosted(host.clone(), None));
        let waiting = Replica::hosted(host.clone(), None);
        assert!(busy.try_take() && !waiting.try_take());
        let releaser = thread::spawn(move || busy.release().is_some());
        let pool: std::sync::Weak<dyn Traffic> = std::sync::Weak::<NoTraffic>::new();
        assert!(waiting.await_host(&pool));
        let took = waiting.try_take_announced();
        let told = releaser.join().unwrap();
        assert!(took || told, "the pool sleeps beside a free slot");
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

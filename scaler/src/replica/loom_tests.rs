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

/// A pool with one held request for one hosted replica. It does the same as the data plane's pool,
/// in the same order.
struct HeldRequest {
    replica: std::sync::Arc<Replica>,
    waiting: AtomicU32,
    /// Whether the request still has no slot. Locked while it is served.
    queue: crate::sync::Mutex<bool>,
    own: std::sync::Weak<Self>,
}

impl HeldRequest {
    /// A pool whose request is not held yet.
    fn of(replica: &std::sync::Arc<Replica>) -> std::sync::Arc<Self> {
        std::sync::Arc::new_cyclic(|own| Self {
            replica: replica.clone(),
            waiting: AtomicU32::new(0),
            queue: crate::sync::Mutex::new(false),
            own: own.clone(),
        })
    }

    fn join(&self) {
        *self.queue.lock().unwrap() = true;
        self.waiting.store(1, Ordering::Relaxed);
        self.serve_held();
    }

    fn release(&self, replica: &Replica) {
        if let Some(host) = replica.release() {
            host.offer_slots();
        }
        self.serve_overlooked();
    }

    fn serve_overlooked(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.serve_held();
        }
    }

    fn assert_not_asleep_beside_a_free_slot(&self) {
        let sleeps = self.waiting.load(Ordering::Relaxed) > 0;
        assert!(!(sleeps && self.replica.has_room()), "a slot is free");
    }
}

impl Traffic for HeldRequest {
    fn serve_held(&self) {
        let mut waits = self.queue.lock().unwrap();
        let own: std::sync::Weak<dyn Traffic> = self.own.clone();
        let take = || self.replica.try_take_announced();
        if *waits && (take() || self.replica.await_host(&own) && take()) {
            *waits = false;
        }
        self.waiting.store(u32::from(*waits), Ordering::Relaxed);
    }
    fn set_replicas(&self, _ready: &[std::sync::Arc<Replica>]) {}
    fn refuse_held(&self, _why: &std::sync::Arc<str>) {}
    fn review_health(&self, _now: crate::clock::Nanos) {}
    fn report_health(&self, _: &Replica, _: HealthReport, _: crate::clock::Nanos) {}
}

/// A host with this concurrency, and replicas of two models in it. The first replica takes a slot.
fn hosted(concurrency: u32) -> [std::sync::Arc<Replica>; 2] {
    let host = std::sync::Arc::new(Replica::new("s-0", "h:1", Some(concurrency)));
    let model = |own| std::sync::Arc::new(Replica::hosted(host.clone(), own));
    [model(Some(1)), model(None)]
}

/// A host with one slot, which another thread gives back: with the replica of a model in it, and a
/// request for that model.
fn released_host() -> (
    std::sync::Arc<Replica>,
    std::sync::Arc<HeldRequest>,
    thread::JoinHandle<()>,
) {
    let [mine, other] = hosted(1);
    let held = HeldRequest::of(&mine);
    assert!(other.try_take());
    let others = HeldRequest::of(&other);
    let releaser = thread::spawn(move || others.release(&other));
    (mine, held, releaser)
}

#[test]
fn loom_freed_slot_of_a_host_goes_to_the_request_that_is_held_for_it() {
    loom::model(|| {
        let (mine, held, releaser) = released_host();
        held.join();
        releaser.join().unwrap();
        assert!(mine.in_flight() == 1, "it sleeps beside a free slot");
    });
}

#[test]
fn loom_request_held_for_a_full_replica_is_served_when_that_and_its_host_have_a_slot() {
    loom::model(|| {
        let [mine, other] = hosted(2);
        let held = HeldRequest::of(&mine);
        assert!(mine.try_take() && other.try_take());
        // Its own replica is full, so it does not wait for the host.
        held.join();
        assert!(
            other.release().is_none(),
            "nobody is to be offered the slot"
        );
        assert!(other.try_take());
        let others = HeldRequest::of(&other);
        // Another model takes the slot that becomes free first, and gives it back.
        let (h, m) = (held.clone(), mine.clone());
        let own = thread::spawn(move || h.release(&m));
        let more = thread::spawn(move || {
            let took = other.try_take();
            others.release(&other);
            if took {
                others.release(&other);
            }
        });
        own.join().unwrap();
        more.join().unwrap();
        held.assert_not_asleep_beside_a_free_slot();
        assert!(mine.in_flight() == 1, "it has not got the slot");
    });
}

#[test]
fn loom_slot_given_back_because_the_host_is_full_hides_no_free_one() {
    loom::model(|| {
        let (mine, held, releaser) = released_host();
        let (h, m) = (held.clone(), mine.clone());
        // A request that goes elsewhere if this fails, and does not join the queue.
        let passer = thread::spawn(move || {
            let took = m.try_take();
            h.serve_overlooked();
            if took {
                h.release(&m);
            }
        });
        held.join();
        releaser.join().unwrap();
        passer.join().unwrap();
        held.assert_not_asleep_beside_a_free_slot();
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

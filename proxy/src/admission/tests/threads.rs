//! The hold queue under threads that run at the same time.

use std::{
    sync::Barrier,
    thread::{self, yield_now},
};

use fastrand::Rng;
use futures_util::FutureExt;

use super::*;

/// Rounds of a test. What a round leaves undone is found at its end, before another request could
/// make up for it.
const ROUNDS: u64 = if cfg!(miri) { 8 } else { 400 };
const CALLERS: u64 = 6;
/// Only a request that is never served waits for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pools of models, each with replicas. All permits are free.
struct Cluster {
    models: Vec<(Arc<Pool>, Vec<Arc<Replica>>)>,
    /// What bounds the requests in flight: replicas, or their host. With their number.
    bounds: Vec<(Arc<Replica>, AtomicU32)>,
}

impl Cluster {
    /// One model with two replicas.
    fn of_one_model() -> Self {
        let replica = |(name, concurrency)| Arc::new(Replica::new(name, "h:1", Some(concurrency)));
        let replicas = Vec::from([("m-0", 1), ("m-1", 2)].map(replica));
        let pool = Arc::new(Pool::default());
        pool.set_replicas(&replicas);
        Self {
            bounds: replicas.iter().cloned().map(|r| (r, 0.into())).collect(),
            models: vec![(pool, replicas)],
        }
    }

    /// Three models in one replica with one slot for all of them.
    fn of_one_host() -> Self {
        let models = hosted(3, 1);
        let host = models[0].1.host().unwrap().clone();
        Self {
            bounds: vec![(host, 0.into())],
            models: models.into_iter().map(|(p, r)| (p, vec![r])).collect(),
        }
    }

    /// One request: it passes the queue if that is empty, or is held, or is held and gives up.
    fn request(&self, random: &mut Rng) {
        let (pool, replicas) = &self.models[random.usize(..self.models.len())];
        let replica = &replicas[random.usize(..replicas.len())];
        let awaited = random.bool().then(|| replica.id());
        match random.u8(..4) {
            0 => {
                let took = !pool.has_waiters() && replica.try_take();
                pool.serve_overlooked();
                if took {
                    self.serve(pool, Granted::Permit(replica.clone(), None), random);
                }
            }
            1 => {
                let ticket = join(pool, awaited);
                (0..random.u8(..4)).for_each(|_| yield_now());
                // Otherwise the ticket is dropped, with a permit if it has just been granted one.
                if let Some(granted) = random.bool().then(|| ticket.granted().now_or_never()) {
                    granted
                        .into_iter()
                        .for_each(|granted| self.serve(pool, granted, random));
                }
            }
            _ => {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()
                    .unwrap();
                let granted = runtime.block_on(async {
                    let granted = join(pool, awaited).granted();
                    tokio::time::timeout(PATIENCE, granted).await
                });
                self.serve(pool, granted.expect("it is never served"), random);
            }
        }
    }

    /// Serves a request that has got this permit, and releases it.
    fn serve(&self, pool: &Pool, granted: Granted, random: &mut Rng) {
        let Granted::Permit(replica, in_service) = granted else {
            panic!("{granted:?}");
        };
        let bound = replica.host().unwrap_or(&replica);
        let (bound, busy) = self
            .bounds
            .iter()
            .find(|(b, _)| b.id() == bound.id())
            .unwrap();
        let before = busy.fetch_add(1, Ordering::Relaxed);
        assert!(Some(before) < bound.concurrency(), "a permit granted twice");
        (0..random.u8(..3)).for_each(|_| yield_now());
        busy.fetch_sub(1, Ordering::Relaxed);
        pool.release(&replica, in_service);
    }

    /// Takes replicas of a model away and gives them back, as the scaler or the health checks do.
    fn change(&self, random: &mut Rng) {
        let (pool, replicas) = &self.models[random.usize(..self.models.len())];
        let report = |report: HealthReport| {
            let all = replicas.iter();
            all.for_each(|r| pool.report_health(r, report.clone(), Nanos::now()));
        };
        match random.u8(..3) {
            0 => {
                pool.set_replicas(&replicas[..1]);
                yield_now();
                pool.set_replicas(replicas);
            }
            1 => {
                report(HealthReport::Hung(PATIENCE));
                yield_now();
                report(HealthReport::Fine);
            }
            _ => pool.serve_held(),
        }
    }

    fn assert_at_rest(&self) {
        for (pool, replicas) in &self.models {
            assert!(!pool.has_waiters());
            assert_eq!(pool.lock().len(), 0);
            replicas.iter().for_each(|r| assert_eq!(r.in_flight(), 0));
        }
        let bounds = self.bounds.iter();
        bounds.for_each(|(bound, _)| assert_eq!(bound.in_flight(), 0, "{bound}"));
    }
}

/// All requests of a round come at the same time, beside changes of the replicas.
fn rounds(cluster: &Cluster) {
    for round in 0..ROUNDS {
        let all_here = Barrier::new(CALLERS as usize + 1);
        thread::scope(|scope| {
            for caller in 0..=CALLERS {
                let all_here = &all_here;
                scope.spawn(move || {
                    let mut random = Rng::with_seed(round * (CALLERS + 1) + caller);
                    all_here.wait();
                    match caller {
                        CALLERS => cluster.change(&mut random),
                        _ => cluster.request(&mut random),
                    }
                });
            }
        });
        cluster.assert_at_rest();
    }
}

#[test]
fn whatever_comes_at_once_no_permit_is_lost_or_granted_twice_and_nobody_waits_beside_a_free_one() {
    rounds(&Cluster::of_one_model());
}

#[test]
fn models_with_one_host_lose_no_slot_and_no_waiter_whatever_comes_at_once() {
    rounds(&Cluster::of_one_host());
}

#[test]
fn a_replica_that_recovers_while_a_request_joins_the_queue_serves_it() {
    for _ in 0..ROUNDS {
        let (pool, replica) = pool(1);
        pool.report_health(&replica, HealthReport::Hung(PATIENCE), Nanos::now());
        let held = thread::scope(|scope| {
            scope.spawn(|| pool.report_health(&replica, HealthReport::Fine, Nanos::now()));
            join(&pool, None)
        });
        let granted = held.granted().now_or_never();
        assert!(granted.is_some(), "it waits beside a free permit");
    }
}

#[test]
fn many_threads_with_one_host_lose_no_slot_and_no_waiter() {
    const EACH: usize = if cfg!(miri) { 20 } else { 500 };
    let all = hosted(4, 2);
    let host = all[0].1.host().unwrap();
    thread::scope(|scope| {
        for (pool, replica) in &all {
            for _ in 0..2 {
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()
                        .unwrap();
                    runtime.block_on(async {
                        for _ in 0..EACH {
                            if !pool.has_waiters() && replica.try_take() {
                                pool.release(replica, None);
                                continue;
                            }
                            let granted = replica_of(join(pool, None));
                            let patience = Duration::from_secs(60);
                            let granted = tokio::time::timeout(patience, granted).await.unwrap();
                            pool.release(&granted, None);
                        }
                    });
                });
            }
        }
    });
    assert_eq!(host.in_flight(), 0);
}

//! Power of two choices: of two replicas picked at random, the one with fewer
//! requests in flight (Mitzenmacher, "The Power of Two Choices in Randomized
//! Load Balancing", 2001). Nearly as even as looking at all, at the cost of two.

use std::{borrow::Borrow, sync::Arc};

use tailback_scaler::{clock::Nanos, replica::Replica};

/// Takes a permit of one of `replicas` and returns its position; `None` if none
/// has room. Replicas that could not be reached a moment ago come last.
pub fn take<R: Borrow<Replica>>(replicas: &[R], now: Nanos) -> Option<usize> {
    match replicas {
        [] => None,
        [only] => only.borrow().try_take().then_some(0),
        _ => {
            let (a, b) = two_of(replicas.len());
            let (first, second) = if better(replicas[b].borrow(), replicas[a].borrow()) {
                (b, a)
            } else {
                (a, b)
            };
            let taken = |&i: &usize| {
                let replica = replicas[i].borrow();
                !replica.is_ejected(now) && replica.try_take()
            };
            [first, second]
                .iter()
                .copied()
                .find(|i| taken(i))
                .or_else(|| take_any(replicas, now))
        }
    }
}

/// The least busy of all that has room.
fn take_any<R: Borrow<Replica>>(replicas: &[R], now: Nanos) -> Option<usize> {
    let mut order: Vec<usize> = (0..replicas.len())
        .filter(|&i| replicas[i].borrow().has_room())
        .collect();
    order.sort_by_key(|&i| {
        let replica = replicas[i].borrow();
        (replica.is_ejected(now), replica.in_flight())
    });
    order.into_iter().find(|&i| replicas[i].borrow().try_take())
}

/// Takes a permit for a request whose place in line has been announced.
pub(super) fn take_announced(replicas: &[Arc<Replica>]) -> Option<Arc<Replica>> {
    let now = Nanos::now();
    let mut order: Vec<_> = replicas.iter().collect();
    order.sort_by_key(|r| (r.is_ejected(now), r.in_flight()));
    order.into_iter().find(|r| r.try_take_announced()).cloned()
}

fn better(a: &Replica, b: &Replica) -> bool {
    a.in_flight() < b.in_flight()
}

/// Two different positions below `n`, which is at least 2.
fn two_of(n: usize) -> (usize, usize) {
    let a = fastrand::usize(..n);
    let b = fastrand::usize(..n - 1);
    (a, if b >= a { b + 1 } else { b })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(n: usize, concurrency: u32) -> Vec<Arc<Replica>> {
        (0..n)
            .map(|i| Arc::new(Replica::new(format!("m-{i}"), "h:1", Some(concurrency))))
            .collect()
    }

    #[test]
    fn fills_every_slot_and_no_more() {
        let replicas = replicas(3, 4);
        for _ in 0..12 {
            assert!(take(&replicas, Nanos(0)).is_some());
        }
        assert_eq!(take(&replicas, Nanos(0)), None);
        assert!(replicas.iter().all(|r| r.in_flight() == 4));
    }

    #[test]
    fn stays_near_even() {
        let replicas = replicas(10, 1000);
        for _ in 0..1000 {
            take(&replicas, Nanos(0));
        }
        let most = replicas.iter().map(|r| r.in_flight()).max().unwrap();
        assert!(most <= 110, "the busiest of 10 has {most} of 1000");
    }

    #[test]
    fn avoids_what_could_not_be_reached_unless_there_is_nothing_else() {
        let replicas = replicas(3, 1);
        replicas[0].eject(Nanos(100));
        replicas[1].eject(Nanos(100));
        assert_eq!(take(&replicas, Nanos(50)), Some(2));
        assert!(take(&replicas, Nanos(50)).is_some());
    }
}

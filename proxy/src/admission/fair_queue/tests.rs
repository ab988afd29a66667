use proptest::prelude::*;

use super::{class_queue::MOST_TENANTS, *};

fn flow(class: u8, tenant: u64) -> Flow {
    Flow { class, tenant }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Serves the next waiter, whose request takes the returned time.
fn serve<T: Copy>(queue: &mut FairQueue<T>, took: impl Fn(T) -> Duration) -> Option<T> {
    let (waiter, (), charge) = queue.next(|_| Offer::Taken(()))?;
    queue.settle(charge, took(waiter));
    Some(waiter)
}

fn all<T: Copy>(queue: &mut FairQueue<T>) -> Vec<T> {
    std::iter::from_fn(|| serve(queue, |_| millis(10))).collect()
}

#[test]
fn without_classes_and_tenants_it_is_first_come_first_served() {
    let mut queue = FairQueue::default();
    let ids: Vec<_> = (0..5).map(|n| queue.push(Flow::default(), n)).collect();
    assert_eq!(queue.remove(ids[2]), Some(2));
    assert_eq!(queue.remove(ids[2]), None);
    assert_eq!(all(&mut queue), [0, 1, 3, 4]);
    assert_eq!((queue.len(), queue.remove(ids[4])), (0, None));
}

#[test]
fn a_flooding_tenant_lets_a_light_one_pass() {
    let mut queue = FairQueue::default();
    for _ in 0..100 {
        queue.push(flow(0, 1), 'f');
    }
    for _ in 0..10 {
        serve(&mut queue, |_| millis(10));
    }
    queue.push(flow(0, 2), 'l');
    queue.push(flow(0, 2), 'l');
    let next: String = (0..4)
        .filter_map(|_| serve(&mut queue, |_| millis(10)))
        .collect();
    assert_eq!(next.matches('l').count(), 2, "{next}");
}

/// One request at a time: the light tenant's next request comes just after its last one has ended,
/// when the busy tenant has the replica again.
#[test]
fn a_light_tenant_waits_for_one_request_of_the_flood_each_time() {
    let mut queue = FairQueue::default();
    for _ in 0..1_000 {
        queue.push(flow(0, 1), 'f');
    }
    for n in 0..100 {
        assert_eq!(serve(&mut queue, |_| millis(60)), Some('f'), "{n}");
        queue.push(flow(0, 2), 'l');
        assert_eq!(serve(&mut queue, |_| millis(60)), Some('l'), "{n}");
    }
}

#[test]
fn tenants_share_the_time_and_not_the_number_of_requests() {
    let mut queue = FairQueue::default();
    for _ in 0..2_000 {
        queue.push(flow(0, 1), 50);
        queue.push(flow(0, 2), 5);
    }
    let mut times = [0, 0];
    for _ in 0..1_000 {
        let took = serve(&mut queue, millis).unwrap();
        times[usize::from(took == 5)] += took;
    }
    let [long, short] = times;
    assert!(long.abs_diff(short) < (long + short) / 10, "{times:?} ms");
}

#[test]
fn higher_classes_go_first_and_lower_ones_are_not_starved() {
    let mut queue = FairQueue::default();
    for class in [2, 1, 0] {
        for _ in 0..100 {
            queue.push(flow(class, 0), class);
        }
    }
    let order = all(&mut queue);
    assert!(order[..16].iter().all(|class| *class == 0), "{order:?}");
    for class in [1, 2] {
        let places: Vec<_> = (0..300).filter(|place| order[*place] == class).collect();
        let gaps = places.windows(2).map(|pair| pair[1] - pair[0]);
        let most = gaps.chain([places[0]]).max().unwrap();
        assert!(most <= MOST_PASSED as usize + 2, "class {class}: {most}");
    }
    let zeros = order[..150].iter().filter(|class| **class == 0).count();
    assert_eq!(zeros, 100);
}

#[test]
fn who_waits_for_a_full_replica_lets_others_pass() {
    let mut queue = FairQueue::default();
    queue.push(flow(0, 1), "blocked");
    queue.push(flow(0, 1), "a");
    queue.push(flow(1, 2), "b");
    let offer = |waiter: &&str| match *waiter {
        "blocked" => Offer::Blocked,
        other => Offer::Taken(other.len()),
    };
    assert_eq!(queue.next(offer).unwrap().0, "a");
    assert_eq!(queue.next(offer).unwrap().0, "b");
    assert!(queue.next(offer).is_none());
    assert!(queue.next(|_| Offer::<()>::Exhausted).is_none());
    assert_eq!(queue.len(), 1);
}

#[test]
fn of_a_full_queue_the_lowest_class_goes_and_then_who_has_most_waiting() {
    let mut queue = FairQueue::default();
    for (flow, name) in [
        (flow(0, 1), "first"),
        (flow(1, 1), "one"),
        (flow(1, 1), "two"),
        (flow(1, 1), "three"),
        (flow(2, 3), "low"),
        (flow(2, 3), "foreign"),
    ] {
        queue.push(flow, name);
    }
    let may_go = |name: &&str| *name != "foreign";
    assert_eq!(queue.shed(flow(1, 2), may_go), Some("low"));
    assert_eq!(
        queue.shed(flow(2, 9), may_go),
        None,
        "nobody below, and none with more"
    );
    assert_eq!(queue.shed(flow(1, 2), may_go), Some("three"));
    assert_eq!(queue.shed(flow(1, 1), may_go), None, "it has most itself");
    queue.push(flow(1, 2), "other's");
    assert_eq!(
        queue.shed(flow(1, 2), may_go),
        None,
        "one has no more than the other"
    );
    assert_eq!(queue.shed(flow(0, 1), may_go), Some("two"));
    assert_eq!(queue.len(), 4);
}

#[test]
fn no_more_tenants_are_remembered_than_the_bound() {
    let mut queue = FairQueue::default();
    let many = MOST_TENANTS as u64 * 3;
    for tenant in 1..=many {
        queue.push(flow(0, tenant), tenant);
    }
    assert_eq!(queue.classes[0].tenants(), MOST_TENANTS + 1);
    let mut served = all(&mut queue);
    served.sort_unstable();
    assert_eq!(served, (1..=many).collect::<Vec<_>>());
    for tenant in many..2 * many {
        queue.push(flow(0, tenant), tenant);
        assert!(serve(&mut queue, |_| millis(1)).is_some());
    }
    assert_eq!(queue.classes[0].tenants(), MOST_TENANTS + 1);
}

#[derive(Clone, Debug)]
enum Step {
    Push { class: u8, tenant: u64, cost: u64 },
    Remove(usize),
    Serve,
    Shed { class: u8, tenant: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_u8..3, 0_u64..5, 0_u64..1_000)
            .prop_map(|(class, tenant, cost)| Step::Push { class, tenant, cost }),
        1 => (0_usize..100).prop_map(Step::Remove),
        3 => Just(Step::Serve),
        1 => (0_u8..3, 0_u64..5).prop_map(|(class, tenant)| Step::Shed { class, tenant }),
    ];
    proptest::collection::vec(step, 0..400)
}

proptest! {
    /// Every waiter leaves exactly once, waiters of one tenant and class leave in order, and no
    /// waiter is passed over for ever.
    #[test]
    fn whatever_happens_nobody_is_lost_or_starved(steps in steps()) {
        let mut queue = FairQueue::default();
        let mut waiting: Vec<(WaiterId, (u8, u64, u64, usize))> = Vec::new();
        let mut passed = [0_u32; 3];
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push { class, tenant, cost } => {
                    let waiter = (class, tenant, cost, number);
                    waiting.push((queue.push(flow(class, tenant), waiter), waiter));
                }
                Step::Remove(place) if place < waiting.len() => {
                    let (id, waiter) = waiting.remove(place);
                    prop_assert_eq!(queue.remove(id), Some(waiter));
                    prop_assert_eq!(queue.remove(id), None);
                }
                Step::Remove(_) => {}
                Step::Serve => {
                    let served = serve(&mut queue, |waiter| millis(waiter.2));
                    prop_assert_eq!(served.is_none(), waiting.is_empty());
                    let Some(served) = served else { continue };
                    let of_flow = |(_, other): &&(WaiterId, (u8, u64, u64, usize))| {
                        (other.0, other.1) == (served.0, served.1)
                    };
                    let first = waiting.iter().find(of_flow).map(|(_, waiter)| *waiter);
                    prop_assert_eq!(first, Some(served));
                    waiting.retain(|(_, waiter)| *waiter != served);
                    for class in 0..3_u8 {
                        let passed = &mut passed[usize::from(class)];
                        *passed = if served.0 == class { 0 } else { *passed + 1 };
                        let waits = waiting.iter().any(|(_, waiter)| waiter.0 == class);
                        prop_assert!(!waits || *passed <= MOST_PASSED + 2, "class {}", class);
                    }
                }
                Step::Shed { class, tenant } => {
                    let gone = queue.shed(flow(class, tenant), |_| true);
                    if let Some(gone) = gone {
                        prop_assert!(gone.0 >= class);
                        let lowest = waiting.iter().map(|(_, waiter)| waiter.0).max();
                        prop_assert_eq!(Some(gone.0), lowest);
                        waiting.retain(|(_, waiter)| *waiter != gone);
                    }
                }
            }
            for class in 0..3_u8 {
                if !waiting.iter().any(|(_, waiter)| waiter.0 == class) {
                    passed[usize::from(class)] = 0;
                }
            }
            prop_assert_eq!(queue.len(), waiting.len());
        }
        let left = std::iter::from_fn(|| serve(&mut queue, |waiter| millis(waiter.2)));
        prop_assert_eq!(left.count(), waiting.len());
    }

    /// Tenants that always have waiters each get the same time, whatever their requests cost, to
    /// within the cost of the largest requests.
    #[test]
    fn tenants_that_always_wait_get_the_same_time(costs in proptest::collection::vec(1_u64..8, 2..5)) {
        let mut queue = FairQueue::default();
        let mut times = vec![0; costs.len()];
        for (tenant, cost) in (1..).zip(&costs) {
            for _ in 0..20 {
                queue.push(flow(0, tenant), (tenant, *cost));
            }
        }
        for _ in 0..4_000 {
            // The tenant's next request arrives before this one ends.
            let (waiter, (), charge) = queue.next(|_| Offer::Taken(())).unwrap();
            queue.push(flow(0, waiter.0), waiter);
            queue.settle(charge, millis(waiter.1));
            times[usize::try_from(waiter.0).unwrap() - 1] += waiter.1;
        }
        let fair = times.iter().sum::<u64>() / costs.len() as u64;
        for time in &times {
            prop_assert!(time.abs_diff(fair) < fair / 10, "{times:?} of {costs:?}");
        }
    }
}

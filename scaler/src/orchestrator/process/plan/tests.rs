//! Tables of instances and plans, and properties.

use proptest::prelude::{
    Just, Strategy as _, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use super::{InstancePhase::*, *};

mod restart;

fn instance(id: u64, phase: InstancePhase, in_flight: u32) -> View {
    View {
        id,
        phase,
        current: true,
        healthy: true,
        condemned: false,
        restarting: false,
        in_flight,
    }
}

fn old(id: u64, phase: InstancePhase) -> View {
    View {
        current: false,
        ..instance(id, phase, 0)
    }
}

fn start(n: u32) -> InstancePlan {
    InstancePlan {
        missing: n,
        start: n,
        ..InstancePlan::default()
    }
}

fn drain(ids: &[u64]) -> InstancePlan {
    InstancePlan {
        drain: ids.to_vec(),
        ..InstancePlan::default()
    }
}

fn resume(ids: &[u64]) -> InstancePlan {
    InstancePlan {
        resume: ids.to_vec(),
        ..InstancePlan::default()
    }
}

#[test]
fn brings_a_set_to_its_count() {
    let hung = View {
        healthy: false,
        ..instance(0, Ready, 9)
    };
    let cases = [
        ("from nothing", vec![], 2, start(2)),
        (
            "what starts counts",
            vec![instance(0, Starting, 0)],
            2,
            start(1),
        ),
        (
            "what ends does not",
            vec![instance(0, Ending, 3)],
            1,
            start(1),
        ),
        (
            "enough",
            vec![instance(0, Ready, 9), instance(1, Starting, 0)],
            2,
            start(0),
        ),
        (
            "not ready goes first",
            vec![instance(0, Starting, 0), hung],
            1,
            drain(&[0]),
        ),
        (
            "then the unhealthy",
            vec![hung, instance(1, Ready, 0)],
            1,
            drain(&[0]),
        ),
        (
            "then the idle",
            vec![instance(0, Ready, 0), instance(1, Ready, 1)],
            1,
            drain(&[0]),
        ),
        (
            "then the least busy",
            vec![instance(0, Ready, 1), instance(1, Ready, 5)],
            1,
            drain(&[0]),
        ),
        (
            "then the newest",
            vec![instance(0, Ready, 1), instance(1, Ready, 1)],
            1,
            drain(&[1]),
        ),
        (
            "none",
            vec![instance(0, Ready, 1), instance(1, Starting, 0)],
            0,
            drain(&[0, 1]),
        ),
        (
            "what drains is taken back",
            vec![instance(0, Draining, 3)],
            1,
            resume(&[0]),
        ),
        (
            "as many as are needed, the busiest first",
            vec![
                instance(0, Draining, 1),
                instance(1, Draining, 2),
                instance(2, Ready, 0),
            ],
            2,
            resume(&[1]),
        ),
        (
            "and more are started",
            vec![instance(0, Draining, 1)],
            3,
            InstancePlan {
                resume: vec![0],
                ..start(2)
            },
        ),
        (
            "old ones that drain are not taken back",
            vec![old(0, Draining)],
            1,
            start(1),
        ),
        (
            "old ones stay until new ones are ready",
            vec![old(0, Ready), instance(1, Starting, 0)],
            1,
            start(0),
        ),
        (
            "and go then",
            vec![old(0, Ready), instance(1, Ready, 0)],
            1,
            drain(&[0]),
        ),
        (
            "one by one",
            vec![
                old(0, Ready),
                old(1, Ready),
                instance(2, Ready, 0),
                instance(3, Starting, 0),
            ],
            2,
            drain(&[1]),
        ),
        (
            "one that stays unhealthy is replaced, whatever it has",
            vec![
                View {
                    condemned: true,
                    ..hung
                },
                instance(1, Ready, 0),
            ],
            2,
            InstancePlan {
                drain: vec![0],
                ..start(1)
            },
        ),
        (
            "old ones that never got ready go at once",
            vec![old(0, Starting)],
            1,
            InstancePlan {
                drain: vec![0],
                ..start(1)
            },
        ),
    ];
    for (what, instances, wanted, expected) in cases {
        assert_eq!(
            plan(&instances, wanted, Strategy::Surge, u32::MAX),
            expected,
            "{what}"
        );
    }
}

#[test]
fn recreate_starts_only_where_one_has_gone() {
    let waits = |missing| InstancePlan {
        missing,
        ..InstancePlan::default()
    };
    let cases = [
        ("from nothing", vec![], 2, start(2)),
        (
            "old ones go first",
            vec![old(0, Ready), old(1, Starting)],
            2,
            InstancePlan {
                drain: vec![0, 1],
                ..waits(2)
            },
        ),
        (
            "and are waited for",
            vec![old(0, Draining), old(1, Ending)],
            2,
            waits(2),
        ),
        (
            "one that is gone makes room for one",
            vec![old(1, Draining)],
            2,
            InstancePlan {
                missing: 2,
                start: 1,
                ..InstancePlan::default()
            },
        ),
        (
            "also of its own kind",
            vec![instance(0, Ending, 0)],
            1,
            waits(1),
        ),
        (
            "what drains is taken back",
            vec![instance(0, Draining, 0)],
            1,
            resume(&[0]),
        ),
    ];
    for (what, instances, wanted, expected) in cases {
        assert_eq!(
            plan(&instances, wanted, Strategy::Recreate, u32::MAX),
            expected,
            "{what}"
        );
    }
}

#[test]
fn what_drains_or_ends_takes_its_room_until_it_has_gone() {
    let missing = |missing, start, resume: &[u64]| InstancePlan {
        missing,
        start,
        resume: resume.to_vec(),
        ..InstancePlan::default()
    };
    let ending = |id| instance(id, Ending, 0);
    let cases = [
        ("nothing is there", vec![], 2, missing(2, 2, &[])),
        (
            "one ends where there is room for one",
            vec![ending(0)],
            1,
            missing(1, 0, &[]),
        ),
        (
            "one ends beside room for one",
            vec![ending(0)],
            2,
            missing(1, 1, &[]),
        ),
        (
            "one that drains comes back, and one that ends is waited for",
            vec![instance(0, Draining, 3), ending(1)],
            2,
            missing(1, 0, &[0]),
        ),
        (
            "an old one is beside them",
            vec![old(0, Ready)],
            1,
            missing(1, 1, &[]),
        ),
    ];
    for (what, instances, capacity, expected) in cases {
        let wanted = expected.missing + expected.resume.len() as u32;
        let found = plan(&instances, wanted, Strategy::Surge, capacity);
        assert_eq!(found, expected, "{what}");
    }
}

fn any_instance() -> impl proptest::strategy::Strategy<Value = View> {
    let phase = prop_oneof![Just(Starting), Just(Ready), Just(Draining), Just(Ending)];
    let flag = any::<bool>;
    let flags = (flag(), flag(), flag(), flag());
    (0u64..1, phase, flags, 0u32..4).prop_map(
        |(id, phase, (current, healthy, condemned, restarting), in_flight)| View {
            id,
            phase,
            current,
            healthy,
            condemned,
            restarting,
            in_flight,
        },
    )
}

proptest! {
    #[test]
    fn no_plan_goes_beyond_what_is_wanted(
        mut instances in prop::collection::vec(any_instance(), 0..8),
        wanted in 0u32..8,
        recreate: bool,
        capacity in 1u32..8,
    ) {
        for (id, instance) in instances.iter_mut().enumerate() {
            instance.id = id as u64;
        }
        let strategy = if recreate { Strategy::Recreate } else { Strategy::Surge };
        let plan = plan(&instances, wanted, strategy, capacity);
        let of = |id: &u64| instances[*id as usize];
        prop_assert!(plan.start <= plan.missing && plan.missing <= wanted);
        prop_assert!(plan.resume.iter().all(|id| of(id).current && of(id).phase == Draining));
        prop_assert!(plan.drain.iter().all(|id| matches!(of(id).phase, Starting | Ready)));
        let current = |i: &&View| i.current && matches!(i.phase, Starting | Ready);
        let live = instances.iter().filter(current).count();
        let drained = plan.drain.iter().filter(|id| of(id).current).count();
        let leaves = |i: &View| i.current && i.restarting && !plan.drain.contains(&i.id);
        let alive = |i: &&View| matches!(i.phase, Starting | Ready);
        let kept = instances.iter().filter(alive).filter(|i| leaves(i)).count();
        prop_assert!(kept <= wanted as usize);
        let after = live - drained - kept + plan.resume.len() + plan.missing as usize;
        prop_assert_eq!(after, wanted as usize, "all of the present kind");
        let present = instances.iter().filter(|i| i.current).count();
        if plan.start > 0 && !recreate {
            prop_assert!(present + plan.start as usize <= capacity as usize);
        }
        if recreate && plan.start > 0 {
            prop_assert!(instances.len() + plan.start as usize <= wanted as usize);
        }
    }
}

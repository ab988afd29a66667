//! Replicas that an operator restarts.

use super::*;

fn restarting(id: u64, phase: InstancePhase) -> View {
    View {
        restarting: true,
        ..instance(id, phase, 1)
    }
}

#[test]
fn one_that_is_restarted_goes_once_another_is_ready_if_there_is_room_for_both() {
    let (ready, other) = (restarting(0, Ready), instance(1, Ready, 0));
    let replacement = |phase| vec![ready, other, instance(2, phase, 0)];
    let gone_first = InstancePlan {
        missing: 1,
        ..drain(&[0])
    };
    let cases = [
        ("another starts", vec![ready, other], 3, start(1)),
        (
            "and until it is ready",
            replacement(Starting),
            3,
            drain(&[]),
        ),
        ("it goes then", replacement(Ready), 3, drain(&[0])),
        ("no room: it goes first", vec![ready, other], 2, gone_first),
        (
            "it is not taken back",
            vec![restarting(0, Draining), other],
            2,
            InstancePlan {
                missing: 1,
                ..InstancePlan::default()
            },
        ),
        (
            "one that starts has no request to finish",
            vec![restarting(0, Starting), other],
            3,
            InstancePlan {
                drain: vec![0],
                ..start(1)
            },
        ),
        (
            "another one drains still: its room is waited for",
            vec![ready, other, restarting(2, Draining)],
            3,
            InstancePlan {
                missing: 1,
                ..InstancePlan::default()
            },
        ),
        (
            "or ends",
            vec![ready, other, instance(2, Ending, 0)],
            3,
            InstancePlan {
                missing: 1,
                ..InstancePlan::default()
            },
        ),
        (
            "what drains of another configuration takes no room",
            vec![ready, other, old(2, Draining)],
            3,
            start(1),
        ),
        (
            "several, as far as there is room",
            vec![ready, restarting(1, Ready)],
            3,
            InstancePlan {
                missing: 2,
                ..InstancePlan {
                    drain: vec![1],
                    ..start(1)
                }
            },
        ),
    ];
    for (what, instances, capacity, expected) in cases {
        let found = plan(&instances, 2, Strategy::Surge, capacity);
        assert_eq!(found, expected, "{what}");
    }
    let found = plan(&[ready, other], 2, Strategy::Recreate, 3);
    assert_eq!(
        found,
        InstancePlan {
            missing: 1,
            ..drain(&[0])
        }
    );
}

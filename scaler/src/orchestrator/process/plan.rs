//! What a set of processes needs, as a pure function.

/// Where an instance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Started, not yet ready.
    Starting,
    /// Takes traffic.
    Ready,
    /// Finishes what it has and goes.
    Draining,
}

/// One instance, as far as planning is concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub id: u64,
    pub phase: Phase,
    /// Whether it runs what the present configuration says.
    pub current: bool,
    pub in_flight: u32,
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub start: u32,
    /// Ids.
    pub stop: Vec<u64>,
}

/// Brings `instances` to `wanted`.
///
/// Too many: those not ready go first, then the least busy, then the newest.
/// Members of an older configuration stay until as many new ones are ready.
pub(super) fn plan(instances: &[View], wanted: u32) -> Plan {
    let wanted = wanted as usize;
    let live = |current| {
        let mut live: Vec<_> = instances
            .iter()
            .filter(move |m| m.current == current && m.phase != Phase::Draining)
            .copied()
            .collect();
        // Best to keep first.
        live.sort_by_key(|m| {
            (
                m.phase != Phase::Ready,
                std::cmp::Reverse(m.in_flight),
                m.id,
            )
        });
        live
    };
    let new = live(true);
    let new_ready = new.iter().filter(|m| m.phase == Phase::Ready).count();
    let old = live(false);
    let old_ready = old.iter().filter(|m| m.phase == Phase::Ready).count();
    let keep_old = wanted.saturating_sub(new_ready).min(old_ready);
    Plan {
        start: u32::try_from(wanted.saturating_sub(new.len())).unwrap_or(u32::MAX),
        stop: new
            .iter()
            .skip(wanted)
            .chain(old.iter().skip(keep_old))
            .map(|m| m.id)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Phase::*, *};

    fn instance(id: u64, phase: Phase, in_flight: u32) -> View {
        View {
            id,
            phase,
            current: true,
            in_flight,
        }
    }

    fn old(id: u64, phase: Phase) -> View {
        View {
            current: false,
            ..instance(id, phase, 0)
        }
    }

    #[test]
    fn brings_a_set_to_its_count() {
        let start = |n| Plan {
            start: n,
            stop: vec![],
        };
        let stop = |ids: &[u64]| Plan {
            start: 0,
            stop: ids.to_vec(),
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
                "what drains does not",
                vec![instance(0, Draining, 3)],
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
                vec![instance(0, Starting, 0), instance(1, Ready, 0)],
                1,
                stop(&[0]),
            ),
            (
                "then the least busy",
                vec![instance(0, Ready, 1), instance(1, Ready, 5)],
                1,
                stop(&[0]),
            ),
            (
                "then the newest",
                vec![instance(0, Ready, 1), instance(1, Ready, 1)],
                1,
                stop(&[1]),
            ),
            (
                "none",
                vec![instance(0, Ready, 1), instance(1, Starting, 0)],
                0,
                stop(&[0, 1]),
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
                stop(&[0]),
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
                stop(&[1]),
            ),
            (
                "old ones that never got ready go at once",
                vec![old(0, Starting)],
                1,
                Plan {
                    start: 1,
                    stop: vec![0],
                },
            ),
        ];
        for (what, instances, wanted, expected) in cases {
            assert_eq!(plan(&instances, wanted), expected, "{what}");
        }
    }
}

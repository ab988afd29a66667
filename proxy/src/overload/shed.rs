//! The order in which existing holders of memory are shed. Pure.

use super::Level;

/// A kind of holder of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShedKind {
    /// A resting connection. The oldest are shed first.
    Idle,
    /// A held request with a large body. The latest are shed first.
    LargeBody,
    /// Any other held request. The latest are shed first.
    Held,
    /// A connection whose caller reads nothing. Those that hold most are shed first.
    Unread,
}

/// Memory that can be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The kind of its holder.
    pub kind: ShedKind,
    /// Its approximate size in bytes.
    pub bytes: u64,
    /// A number that ascends with the time since when it is held.
    pub number: u64,
}

impl ShedKind {
    /// The level from which on this kind is shed.
    fn from(self) -> Level {
        match self {
            Self::Idle => Level::Scarce,
            Self::LargeBody => Level::Tight,
            Self::Held | Self::Unread => Level::Exhausted,
        }
    }
}

/// The positions in `holdings` that must be shed at `level` to give back `excess` bytes: one kind
/// after the other, and no more than needed.
pub(super) fn plan(level: Level, excess: u64, holdings: &[Holding]) -> Vec<usize> {
    let mut places: Vec<_> = (0..holdings.len())
        .filter(|place| holdings[*place].kind.from() <= level)
        .collect();
    places.sort_by_key(|place| {
        let Holding {
            kind,
            bytes,
            number,
        } = holdings[*place];
        let order = match kind {
            ShedKind::Idle => number,
            ShedKind::LargeBody | ShedKind::Held => u64::MAX - number,
            ShedKind::Unread => u64::MAX - bytes,
        };
        (kind, order)
    });
    let mut left = excess;
    let needed = places.iter().take_while(|place| {
        let is_needed = left > 0;
        left = left.saturating_sub(holdings[**place].bytes);
        is_needed
    });
    let needed = needed.count();
    places.truncate(needed);
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn holding(kind: ShedKind, bytes: u64, number: u64) -> Holding {
        Holding {
            kind,
            bytes,
            number,
        }
    }

    #[test]
    fn idle_connections_go_first_then_the_newest_held_then_those_that_hold_most() {
        use ShedKind::{Held, Idle, LargeBody, Unread};
        let all = [
            holding(Unread, 10, 0),
            holding(Unread, 90, 1),
            holding(Held, 10, 2),
            holding(LargeBody, 50, 3),
            holding(LargeBody, 50, 4),
            holding(Idle, 5, 5),
            holding(Idle, 5, 6),
        ];
        assert!(plan(Level::Normal, 1000, &all).is_empty());
        assert_eq!(plan(Level::Scarce, 1000, &all), [5, 6]);
        assert_eq!(plan(Level::Tight, 1000, &all), [5, 6, 4, 3]);
        assert_eq!(plan(Level::Exhausted, 1000, &all), [5, 6, 4, 3, 2, 1, 0]);
        assert_eq!(plan(Level::Exhausted, 60, &all), [5, 6, 4]);
        assert!(plan(Level::Exhausted, 0, &all).is_empty());
    }

    proptest! {
        #[test]
        fn what_is_shed_is_allowed_in_order_and_no_more_than_needed(
            level in prop::sample::select(Level::ALL.to_vec()),
            excess in 0_u64..10_000,
            all in prop::collection::vec((0_usize..4, 0_u64..200), 0..60),
        ) {
            let kinds = [ShedKind::Idle, ShedKind::LargeBody, ShedKind::Held, ShedKind::Unread];
            let all: Vec<_> = (all.iter().zip(0..))
                .map(|((kind, bytes), number)| holding(kinds[*kind], *bytes, number))
                .collect();
            let chosen = plan(level, excess, &all);
            let bytes = |places: &[usize]| places.iter().map(|i| all[*i].bytes).sum::<u64>();
            prop_assert!(chosen.iter().all(|i| all[*i].kind.from() <= level));
            if let Some((_, others)) = chosen.split_last() {
                prop_assert!(bytes(others) < excess);
            }
            let last = chosen.iter().map(|i| all[*i].kind).max();
            for (place, left) in all.iter().enumerate().filter(|(i, _)| !chosen.contains(i)) {
                // Either the level spares it, or all holders of earlier kinds have been shed.
                let is_earlier = last.is_some_and(|last| left.kind < last);
                prop_assert!(!is_earlier, "{place}");
                prop_assert!(left.kind.from() > level || bytes(&chosen) >= excess);
            }
        }
    }
}

//! The level of memory pressure. Pure.

/// The level of memory pressure. A level ends [`HYSTERESIS`] below its start, so that it does not
/// toggle with each buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Below 80 % of the limit.
    Normal,
    /// From 80 % on: memory that only improves speed is given up.
    Scarce,
    /// From 90 % on: request bodies are no longer buffered for waiting requests.
    Tight,
    /// From 95 % on: new connections are refused.
    Exhausted,
}

/// In percent of the limit.
const HYSTERESIS: u64 = 5;

impl Level {
    /// All levels, from the lowest pressure.
    pub const ALL: [Self; 4] = [Self::Normal, Self::Scarce, Self::Tight, Self::Exhausted];

    /// The usage at which it begins, in percent of the limit.
    #[must_use]
    pub fn percent(self) -> u64 {
        match self {
            Self::Normal => 0,
            Self::Scarce => 80,
            Self::Tight => 90,
            Self::Exhausted => 95,
        }
    }

    /// The name in log lines.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Scarce => "scarce",
            Self::Tight => "tight",
            Self::Exhausted => "exhausted",
        }
    }

    /// The level with this number; the highest one for larger numbers.
    pub(super) fn from_u8(number: u8) -> Self {
        let at = usize::from(number).min(Self::ALL.len() - 1);
        Self::ALL[at]
    }

    /// The level that follows this one if `used` of `limit` bytes are in use.
    #[must_use]
    pub fn next(self, used: u64, limit: u64) -> Self {
        let holds = |level: &&Self| match **level > self {
            true => used >= part(limit, level.percent()),
            false => used >= level.falls_below(limit),
        };
        Self::ALL
            .iter()
            .rev()
            .find(holds)
            .copied()
            .unwrap_or(Self::Normal)
    }

    /// The usage in bytes below which the level ends.
    #[must_use]
    pub fn falls_below(self, limit: u64) -> u64 {
        part(limit, self.percent().saturating_sub(HYSTERESIS))
    }
}

fn part(limit: u64, percent: u64) -> u64 {
    // At most the limit, so the cast is lossless.
    (u128::from(limit) * u128::from(percent) / 100) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn levels_begin_at_80_90_and_95_percent_and_are_left_5_percent_below() {
        use Level::{Exhausted, Normal, Scarce, Tight};
        let way = [
            (79, Normal),
            (80, Scarce),
            (76, Scarce),
            (90, Tight),
            (86, Tight),
            (84, Scarce),
            (96, Exhausted),
            (91, Exhausted),
            (89, Tight),
            (74, Normal),
            (100, Exhausted),
            (0, Normal),
        ];
        let mut level = Normal;
        for (used, expected) in way {
            level = level.next(used, 100);
            assert_eq!(level, expected, "at {used} %");
        }
    }

    fn levels() -> impl Strategy<Value = Level> {
        prop::sample::select(Level::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn a_level_is_never_below_its_threshold_nor_kept_where_it_is_left(
            level in levels(), used in any::<u64>(), limit in 1_u64..,
        ) {
            let next = level.next(used, limit);
            prop_assert!(used >= next.falls_below(limit));
            for higher in Level::ALL.iter().filter(|higher| **higher > next) {
                let begins = match *higher > level {
                    true => part(limit, higher.percent()),
                    false => higher.falls_below(limit),
                };
                prop_assert!(used < begins);
            }
        }

        #[test]
        fn more_memory_in_use_is_never_a_lower_level(
            level in levels(), used in any::<u64>(), more in any::<u64>(), limit in 1_u64..,
        ) {
            let (less, more) = (used.min(more), used.max(more));
            prop_assert!(level.next(less, limit) <= level.next(more, limit));
        }

        /// A usage that varies by less than the hysteresis changes the level at most once.
        #[test]
        fn no_level_comes_and_goes(
            level in levels(), limit in 1_000_u64..1 << 50, base in 0_u64..1100,
            moves in prop::collection::vec(0_u64..49, 1..50),
        ) {
            let levels: Vec<_> = moves
                .iter()
                .scan(level, |level, more| {
                    *level = level.next(part(limit, 1) * (base + more) / 10, limit);
                    Some(*level)
                })
                .collect();
            // Whatever the first level was, all changes go in one direction.
            let falls = levels.is_sorted_by(|a, b| a >= b);
            prop_assert!(levels.is_sorted() || falls, "{levels:?}");
        }
    }
}

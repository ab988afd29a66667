//! The course of a simulation in slices of time. Each slice has the exact minimum, maximum and
//! time average of every quantity, so that no short peak is lost.

use std::time::Duration;

use crate::clock::Nanos;

/// The range of a quantity within a slice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Extent {
    /// The minimum.
    pub least: u64,
    /// The maximum.
    pub most: u64,
    /// The average over time.
    pub mean: f64,
}

/// One slice of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slice {
    /// Requests in flight.
    pub in_flight: Extent,
    /// Requests that are held.
    pub held: Extent,
    /// The desired count of replicas.
    pub desired: Extent,
    /// Replicas that take requests.
    pub ready: Extent,
}

impl From<[Extent; 4]> for Slice {
    fn from([in_flight, held, desired, ready]: [Extent; 4]) -> Self {
        Self {
            in_flight,
            held,
            desired,
            ready,
        }
    }
}

/// Records `N` quantities from the clock's origin on.
#[derive(Clone, Debug)]
pub(super) struct Recorder<const N: usize> {
    width: Duration,
    slices: Vec<[Extent; N]>,
    /// When the current slice ends.
    end: Nanos,
    /// Until when the values are recorded.
    until: Nanos,
    values: [u64; N],
    /// Value × nanoseconds so far in this slice.
    areas: [f64; N],
    extents: [Extent; N],
}

impl<const N: usize> Recorder<N> {
    /// A recorder that starts with `values`. Slices are `width` wide, at least 1 ms.
    pub(super) fn new(width: Duration, values: [u64; N]) -> Self {
        let width = width.max(Duration::from_millis(1));
        let mut recorder = Self {
            width,
            slices: Vec::new(),
            end: Nanos(0) + width,
            until: Nanos(0),
            values,
            areas: [0.0; N],
            extents: [Extent::default(); N],
        };
        recorder.begin();
        recorder
    }

    /// Sets the values from `now` on.
    pub(super) fn set(&mut self, values: [u64; N], now: Nanos) {
        self.account(now);
        self.values = values;
        for (extent, value) in self.extents.iter_mut().zip(values) {
            extent.least = extent.least.min(value);
            extent.most = extent.most.max(value);
        }
    }

    /// Returns the slices up to `now`. The last may be incomplete.
    pub(super) fn finish(mut self, now: Nanos) -> Vec<[Extent; N]> {
        self.account(now);
        let start = self.end - self.width;
        if self.until > start {
            self.close(self.until.since(start));
        }
        self.slices
    }

    fn account(&mut self, now: Nanos) {
        while now >= self.end {
            self.add(self.end);
            self.close(self.width);
            self.end = self.end + self.width;
            self.begin();
        }
        self.add(now);
    }

    fn add(&mut self, now: Nanos) {
        let time = now.since(self.until).as_nanos() as f64;
        for (area, value) in self.areas.iter_mut().zip(self.values) {
            *area += value as f64 * time;
        }
        self.until = now;
    }

    fn begin(&mut self) {
        self.areas = [0.0; N];
        self.extents = self.values.map(|value| Extent {
            least: value,
            most: value,
            mean: 0.0,
        });
    }

    fn close(&mut self, time: Duration) {
        for (extent, area) in self.extents.iter_mut().zip(self.areas) {
            extent.mean = area / (time.as_nanos() as f64).max(1.0);
        }
        self.slices.push(self.extents);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Nanos {
        Nanos::from_duration(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn slices_have_what_came_and_went_within_them() {
        let mut recorder = Recorder::new(Duration::from_secs(2), [1]);
        recorder.set([5], at(0.5));
        recorder.set([3], at(1.0));
        // Nothing changes in the second slice and in half of the third.
        recorder.set([0], at(5.0));
        let extent = |least, most, mean| [Extent { least, most, mean }];
        let expected = [
            extent(1, 5, (0.5 + 2.5 + 3.0) / 2.0),
            extent(3, 3, 3.0),
            extent(0, 3, 3.0),
        ];
        assert_eq!(recorder.finish(at(5.0)), expected);
    }

    #[test]
    fn change_at_the_border_belongs_to_the_next_slice() {
        let mut recorder = Recorder::new(Duration::from_secs(1), [1]);
        recorder.set([7], at(1.0));
        let slices = recorder.finish(at(2.0));
        assert_eq!(slices.len(), 2);
        assert_eq!((slices[0][0].most, slices[1][0].most), (1, 7));
        assert_eq!(slices[1][0].mean, 7.0);
    }
}

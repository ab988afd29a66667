//! Converts time slices to columns of the picture, and computes the axes.

use std::time::Duration;

use tailback_scaler::{
    clock::Nanos,
    simulate::{Extent, SimulationResult},
};

use super::{Report, SLICES};

/// The axis of time, shared by all panels.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Axis {
    /// The name of its unit.
    pub name: &'static str,
    /// Seconds in a unit.
    pub unit: f64,
    /// Its end, in units.
    pub end: f64,
    /// The width of a slice, in units.
    slice: f64,
    /// Number of slices in a column.
    together: usize,
}

impl Axis {
    pub(super) fn of(report: &Report) -> Self {
        let slice = report.setup.conditions.timeline.unwrap_or_default();
        let ends = report.comparison.outcomes.iter().map(|one| one.end);
        Self::until(slice, ends.max().unwrap_or_default().since(Nanos(0)))
    }

    /// An axis of slices of this width until `last`.
    pub(in super::super) fn until(slice: Duration, last: Duration) -> Self {
        // Also valid without slices: an empty picture.
        let slice = slice.max(Duration::from_millis(1));
        // A policy that never finishes must not compress the others' panels.
        let most = (slice * SLICES).mul_f64(1.25) + Duration::from_secs(60);
        let end = last.clamp(slice, most);
        let (unit, name) = match end.as_secs() {
            0..600 => (1.0, "seconds"),
            600..36_000 => (60.0, "minutes"),
            36_000..864_000 => (3600.0, "hours"),
            _ => (86_400.0, "days"),
        };
        let slices = (end.as_secs_f64() / slice.as_secs_f64()).ceil();
        Self {
            name,
            unit,
            end: end.as_secs_f64() / unit,
            slice: slice.as_secs_f64() / unit,
            together: (slices / f64::from(SLICES)).ceil().max(1.0) as usize,
        }
    }

    /// Columns with their middles, in units. A column has the minimum, maximum and mean of its
    /// slices.
    pub(in super::super) fn columns(
        &self,
        extents: impl Iterator<Item = Extent>,
    ) -> Vec<(f64, Extent)> {
        let extents: Vec<Extent> = extents.collect();
        let width = self.slice * self.together as f64;
        (extents.chunks(self.together).enumerate())
            .map(|(i, chunk)| ((i as f64 + 0.5) * width, joined(chunk)))
            .take_while(|&(at, _)| at <= self.end)
            .collect()
    }
}

fn joined(extents: &[Extent]) -> Extent {
    let sum: f64 = extents.iter().map(|extent| extent.mean).sum();
    Extent {
        least: extents.iter().map(|e| e.least).min().unwrap_or_default(),
        most: extents.iter().map(|e| e.most).max().unwrap_or_default(),
        mean: sum / extents.len().max(1) as f64,
    }
}

/// The common upper ends of the axes of all panels: requests and replicas.
pub(super) fn tops(
    outcomes: &[SimulationResult],
    demand: &[Extent],
    concurrency: Option<u32>,
) -> (f64, f64) {
    let most = |values: &mut dyn Iterator<Item = u64>| values.max().unwrap_or_default().max(1);
    let timeline = || outcomes.iter().flat_map(|outcome| &outcome.timeline);
    let inside = most(&mut timeline().map(|slice| slice.in_flight.most)) as f64;
    let demand = most(&mut demand.iter().map(|extent| extent.most)) as f64;
    let replicas = most(&mut timeline().map(|s| s.desired.most.max(s.ready.most))) as f64;
    let requests = inside.max(demand);
    match concurrency {
        // A replica is drawn as high as its concurrency.
        Some(slots) => {
            let slots = f64::from(slots);
            let top = 1.05 * requests.max(replicas * slots);
            (top, top / slots)
        }
        None => (1.05 * requests, 1.05 * replicas),
    }
}

/// The points of a line or edge, without points between two of the same height.
pub(super) fn line(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for point in points {
        if let [.., before, last] = kept.as_mut_slice()
            && before.1 == last.1
            && last.1 == point.1
        {
            *last = point;
            continue;
        }
        kept.push(point);
    }
    kept
}

/// The shortest form of a number: 0.25, 3, 1500.
pub(in super::super) fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_leave_no_slice_out() {
        let axis = Axis {
            name: "seconds",
            unit: 1.0,
            end: 100.0,
            slice: 1.0,
            together: 4,
        };
        let extent = |least, most, mean| Extent { least, most, mean };
        let mut slices = vec![extent(1, 1, 1.0); 6];
        slices[2] = extent(0, 99, 5.0);
        let columns = axis.columns(slices.into_iter());
        assert_eq!(
            columns,
            [(2.0, extent(0, 99, 2.0)), (6.0, extent(1, 1, 1.0))]
        );
    }

    #[test]
    fn line_keeps_its_shape_without_points_in_between() {
        let points = [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 1.0];
        let all = points.iter().enumerate().map(|(x, &y)| (x as f64, y));
        let kept = [(0.0, 1.0), (3.0, 1.0), (4.0, 2.0), (6.0, 2.0), (7.0, 1.0)];
        assert_eq!(line(all), kept);
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [(0.0, "0"), (0.25, "0.25"), (1500.0, "1500"), (2.5, "2.5")] {
            assert_eq!(number(value), text);
        }
    }
}

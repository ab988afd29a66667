//! One policy's panel.

use plotters::{
    prelude::{ChartBuilder, DrawingBackend, PathElement, Polygon},
    style::{Color, RGBColor, ShapeStyle},
};
use tailback_scaler::simulate::{Extent, SimulationResult, Slice};

use super::{
    Area, DEMAND, DESIRED, Drawn, HELD, IN_FLIGHT, INK, READY, Report, WIDTH, bold, right,
    series::{Axis, line, number},
    style, summary,
};

const LEFT: u32 = 64;
const RIGHT: u32 = 56;
const HEADING: u32 = 24;

pub(super) struct Panel<'a> {
    pub outcome: &'a SimulationResult,
    pub report: &'a Report,
    pub axis: &'a Axis,
    /// The upper ends of the axes of requests and replicas.
    pub tops: (f64, f64),
    /// Height of the time axis's labels; 0: no labels.
    pub foot: u32,
}

impl Panel<'_> {
    pub(super) fn draw<DB: DrawingBackend>(&self, canvas: &Area<DB>) -> Drawn<DB> {
        self.heading(canvas)?;
        let (axis, timeline) = (self.axis, &self.outcome.timeline);
        let demand = &self.report.comparison.demand;
        let (requests, replicas) = self.tops;
        let mut chart = ChartBuilder::on(canvas)
            .margin_top(HEADING)
            .margin_bottom(8)
            .x_label_area_size(self.foot)
            .y_label_area_size(LEFT)
            .right_y_label_area_size(RIGHT)
            .build_cartesian_2d(0.0..axis.end, 0.0..requests)?
            .set_secondary_coord(0.0..axis.end, 0.0..replicas);
        chart
            .configure_mesh()
            .max_light_lines(0)
            .bold_line_style(INK.mix(0.12))
            .axis_style(INK.mix(0.6))
            .x_labels(12)
            .y_labels(5)
            .label_style(style(11))
            .x_label_formatter(&|at| number(*at))
            .y_label_formatter(&|count| number(*count))
            .draw()?;
        chart
            .configure_secondary_axes()
            .axis_style(INK.mix(0.6))
            .y_labels(5)
            .label_style(style(11))
            .y_label_formatter(&|count| number(*count))
            .draw()?;

        let columns = |of: fn(&Slice) -> Extent| axis.columns(timeline.iter().map(of));
        let plane = chart.plotting_area();
        let area = |top: &[(f64, Extent)], bottom: fn(&Extent) -> f64, style: ShapeStyle| {
            let upper = line(top.iter().map(|(at, extent)| (*at, extent.most as f64)));
            let lower = line(top.iter().map(|(at, extent)| (*at, bottom(extent))));
            let outline: Vec<_> = upper.into_iter().chain(lower.into_iter().rev()).collect();
            plane.draw(&Polygon::new(outline, style))
        };
        let demand = axis.columns(demand.iter().copied());
        let in_flight = columns(|slice| slice.in_flight);
        area(&demand, |_| 0.0, DEMAND.filled())?;
        area(
            &in_flight,
            |extent| extent.least as f64,
            IN_FLIGHT.mix(0.25).filled(),
        )?;
        area(
            &columns(|slice| slice.held),
            |_| 0.0,
            HELD.mix(0.85).filled(),
        )?;
        let mean =
            |columns: &[(f64, Extent)]| line(columns.iter().map(|(at, extent)| (*at, extent.mean)));
        plane.draw(&path(mean(&in_flight), IN_FLIGHT, 1))?;
        let plane = chart.secondary_plotting_area();
        plane.draw(&path(mean(&columns(|slice| slice.ready)), READY, 3))?;
        plane.draw(&path(mean(&columns(|slice| slice.desired)), DESIRED, 1))?;
        if self.foot > 0 {
            let what = format!("{} since the first request", axis.name);
            let (_, height) = canvas.dim_in_pixel();
            let below = ((WIDTH - RIGHT) as i32, height as i32 - 16);
            canvas.draw_text(&what, &right(style(11)), below)?;
        }
        Ok(())
    }

    fn heading<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn<DB> {
        let name = &self.outcome.name;
        let text = summary(self.report, self.outcome);
        let left = LEFT as i32;
        area.draw_text("requests", &right(style(11)), (left - 8, 8))?;
        area.draw_text(name, &bold(13), (left + 4, 6))?;
        area.draw_text(&text, &style(12), (left + 84, 7))?;
        area.draw_text("replicas", &style(11), ((WIDTH - RIGHT) as i32 + 4, 8))
    }
}

fn path(points: Vec<(f64, f64)>, colour: RGBColor, width: u32) -> PathElement<(f64, f64)> {
    PathElement::new(points, colour.stroke_width(width))
}

//! The picture of a simulation of several models: for each policy, which models are on which
//! device or replica over time, and below that how many requests are held.

use plotters::{
    prelude::{DrawingBackend, Polygon, Rectangle, WHITE},
    style::{Color, RGBColor},
};
use tailback_scaler::{
    clock::Nanos,
    simulate::{Extent, fleet::FleetResult},
};

use super::{
    super::plot::{
        Area, Axis, Drawing, Drawn, FOOT, INK, Legend, LegendEntry, WIDTH, bold, number, right,
        style, svg,
    },
    blocks::{Block, bands},
    report::{FleetReport, summary},
};

const HEAD: i32 = 34;
const HEADING: i32 = 26;
/// The height of all bands of a policy together.
const BANDS: usize = 600;
const BAND: (usize, usize) = (8, 64);
/// The height of the chart of held requests, and the margin above and below it.
const HELD: i32 = 80;
const GAP: i32 = 12;
const LEFT: i32 = 120;
const RIGHT: i32 = 20;
/// The width of a character in pixels.
const CHARACTER: i32 = 7;
/// Okabe and Ito's colours without black. If there are more models, they share colours, and are
/// labelled.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xf0, 0xe4, 0x42),
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
];

/// The drawing of a report.
pub(super) struct FleetDrawing<'a> {
    report: &'a FleetReport,
    axis: Axis,
    /// The number of bands, and the height of each.
    bins: i32,
    band: i32,
    /// The largest number of requests held at once under any policy.
    most_held: u64,
    legend: Legend,
}

/// The rectangle for one stay in one bin.
struct Rect {
    /// Its left, upper, right and lower edge.
    edges: [i32; 4],
    /// The left edge of the part in which it takes requests.
    ready: i32,
    model: usize,
    /// Its description.
    title: String,
}

impl<'a> FleetDrawing<'a> {
    pub(super) fn of(report: &'a FleetReport) -> Self {
        let ends = report.results.iter().map(|result| result.end);
        let slice = report.setup.timeline.unwrap_or_default();
        let bins = bands(&report.setup, &[]).len();
        let mut drawing = Self {
            report,
            axis: Axis::until(slice, ends.max().unwrap_or_default()),
            bins: bins as i32,
            band: (BANDS / bins.max(1)).clamp(BAND.0, BAND.1) as i32,
            most_held: 1,
            legend: legend(report),
        };
        for result in &report.results {
            let totals = drawing.layers(result).pop().unwrap_or_default();
            let most = totals.iter().map(|(_, extent)| extent.most).max();
            drawing.most_held = drawing.most_held.max(most.unwrap_or_default());
        }
        drawing
    }

    fn name(&self, model: usize) -> &str {
        &self.report.setup.models[model].need.name
    }

    fn head_height(&self) -> i32 {
        HEAD + self.legend.height()
    }

    fn panel_height(&self) -> i32 {
        HEADING + self.band * self.bins + GAP + HELD + GAP
    }

    /// The pixels from the left edge.
    fn x(&self, units: f64) -> i32 {
        let width = f64::from(WIDTH as i32 - LEFT - RIGHT);
        LEFT + (units.min(self.axis.end) / self.axis.end * width).round() as i32
    }

    fn x_at(&self, at: Nanos) -> i32 {
        self.x(at.since(Nanos(0)).as_secs_f64() / self.axis.unit)
    }

    /// Held requests: for each model, the sum over the models up to it.
    fn layers(&self, result: &FleetResult) -> Vec<Vec<(f64, Extent)>> {
        let mut sums: Vec<(f64, Extent)> = Vec::new();
        let layer = |held: &Vec<Extent>| {
            let columns = self.axis.columns(held.iter().copied());
            sums.resize(columns.len().max(sums.len()), (0.0, Extent::default()));
            for (sum, (at, extent)) in sums.iter_mut().zip(columns) {
                sum.0 = at;
                sum.1.most += extent.most;
            }
            sums.clone()
        };
        result
            .models
            .iter()
            .map(|model| &model.held)
            .map(layer)
            .collect()
    }

    /// The rectangles of the stays under one policy, whose panel begins at `top`.
    fn rects(&self, result: &FleetResult, top: i32) -> Vec<Rect> {
        let mut rects = Vec::new();
        let bands = bands(&self.report.setup, &result.stays);
        for (index, (bin, blocks)) in bands.iter().enumerate() {
            let bottom = top + HEADING + self.band * (index as i32 + 1) - 1;
            rects.extend(blocks.iter().map(|block| self.rect(bin, block, bottom)));
        }
        rects
    }

    fn rect(&self, bin: &str, block: &Block<'_>, bottom: i32) -> Rect {
        let height = f64::from(self.band - 2);
        let (stay, name) = (block.stay, self.name(block.stay.model));
        let at = |at: Nanos| number(at.since(Nanos(0)).as_secs_f64() / self.axis.unit);
        let (left, edge) = (self.x_at(stay.from), self.x_at(stay.until));
        Rect {
            edges: [
                left,
                bottom - (height * block.to).round() as i32,
                edge.max(left + 1),
                bottom - (height * block.from).round() as i32,
            ],
            ready: self.x_at(stay.ready).min(edge),
            model: stay.model,
            title: format!(
                "{name} on {bin}: loaded from {}, ready from {} to {} {}",
                at(stay.from),
                at(stay.ready),
                at(stay.until),
                self.axis.name
            ),
        }
    }

    fn head<DB: DrawingBackend>(&self, root: &Area<DB>) -> Drawn<DB> {
        let report = self.report;
        let title = format!("{}: {} requests", report.source, report.requests);
        let title: String = title.chars().take(120).collect();
        root.draw_text(&title, &bold(16), (12, 8))?;
        let say = "light: being loaded; each as high as its share of the memory";
        root.draw_text(say, &right(style(12)), (WIDTH as i32 - RIGHT, 10))?;
        self.legend.draw(root, HEAD)
    }

    fn panel<DB: DrawingBackend>(
        &self,
        root: &Area<DB>,
        result: &FleetResult,
        top: i32,
    ) -> Drawn<DB> {
        root.draw_text(&result.placer.to_string(), &bold(13), (LEFT, top + 6))?;
        root.draw_text(&summary(result), &style(12), (LEFT + 110, top + 7))?;
        for (index, (bin, _)) in bands(&self.report.setup, &[]).iter().enumerate() {
            let (y, edge) = (
                top + HEADING + self.band * index as i32,
                WIDTH as i32 - RIGHT,
            );
            let frame = [(LEFT, y), (edge, y + self.band - 1)];
            root.draw(&Rectangle::new(frame, INK.mix(0.06).filled()))?;
            if self.band >= 12 {
                let name: String = bin.chars().take(15).collect();
                let middle = y + self.band / 2 - 7;
                root.draw_text(&name, &right(style(11)), (LEFT - 8, middle))?;
            }
        }
        for rect in self.rects(result, top) {
            let [left, upper, edge, lower] = rect.edges;
            let colour = colour(rect.model);
            let whole = [(left, upper), (edge, lower)];
            root.draw(&Rectangle::new(whole, colour.mix(0.35).filled()))?;
            let ready = [(rect.ready, upper), (edge, lower)];
            root.draw(&Rectangle::new(ready, colour.filled()))?;
            let name = shown(self.name(rect.model));
            if edge - rect.ready > CHARACTER * name.chars().count() as i32 + 8
                && lower - upper >= 13
            {
                let middle = (upper + lower) / 2 - 7;
                root.draw_text(&name, &style(11), (rect.ready + 4, middle))?;
            }
        }
        self.held(root, result, top + HEADING + self.band * self.bins + GAP)
    }

    /// The chart of held requests, stacked by model.
    fn held<DB: DrawingBackend>(
        &self,
        root: &Area<DB>,
        result: &FleetResult,
        top: i32,
    ) -> Drawn<DB> {
        let bottom = top + HELD;
        let y =
            |count: u64| bottom - (f64::from(HELD) * count as f64 / self.most_held as f64) as i32;
        let mut below: Vec<(i32, i32)> = Vec::new();
        for (model, layer) in self.layers(result).iter().enumerate() {
            let points = layer
                .iter()
                .map(|(at, extent)| (self.x(*at), y(extent.most)));
            let points: Vec<_> = points.collect();
            below.resize(points.len(), (0, bottom));
            if points
                .iter()
                .zip(&below)
                .any(|(above, below)| above.1 != below.1)
            {
                let back = points
                    .iter()
                    .zip(&below)
                    .rev()
                    .map(|(own, below)| (own.0, below.1));
                let outline: Vec<_> = points.iter().copied().chain(back).collect();
                root.draw(&Polygon::new(outline, colour(model).filled()))?;
            }
            below = points;
        }
        let base = [(LEFT, bottom), (WIDTH as i32 - RIGHT, bottom + 1)];
        root.draw(&Rectangle::new(base, INK.mix(0.6).filled()))?;
        let label = |text: &str, y| root.draw_text(text, &right(style(11)), (LEFT - 8, y));
        label(&format!("{} held", self.most_held), top)?;
        label("0", bottom - 12)
    }

    fn time<DB: DrawingBackend>(&self, root: &Area<DB>, top: i32) -> Drawn<DB> {
        let step = step(self.axis.end);
        for tick in 0..=(self.axis.end / step) as i32 {
            let at = step * f64::from(tick);
            let x = self.x(at);
            let line = [(x, top - GAP), (x + 1, top - GAP + 5)];
            root.draw(&Rectangle::new(line, INK.mix(0.6).filled()))?;
            root.draw_text(&number(at), &style(11), (x - 4, top - 4))?;
        }
        let what = format!("{} since the first request", self.axis.name);
        root.draw_text(&what, &right(style(11)), (WIDTH as i32 - RIGHT, top + 14))
    }
}

impl Drawing for FleetDrawing<'_> {
    fn size(&self) -> (u32, u32) {
        let panels = self.panel_height() * self.report.results.len() as i32;
        (WIDTH, (self.head_height() + panels) as u32 + FOOT)
    }

    fn draw<DB: DrawingBackend>(&self, root: &Area<DB>) -> Drawn<DB> {
        root.fill(&WHITE)?;
        self.head(root)?;
        let mut top = self.head_height();
        for result in &self.report.results {
            self.panel(root, result, top)?;
            top += self.panel_height();
        }
        self.time(root, top)
    }

    /// The picture as a page that describes the element under the pointer.
    fn page(&self) -> Result<String, String> {
        let mut titles = String::new();
        let mut top = self.head_height();
        for result in &self.report.results {
            for rect in self.rects(result, top) {
                let [left, upper, edge, lower] = rect.edges;
                titles += &format!(
                    "<rect x=\"{left}\" y=\"{upper}\" width=\"{}\" height=\"{}\" fill=\"transparent\"><title>{}</title></rect>\n",
                    edge - left,
                    (lower - upper).max(1),
                    escaped(&rect.title)
                );
            }
            top += self.panel_height();
        }
        let svg = svg(self)?;
        let picture = svg.trim_end().strip_suffix("</svg>").unwrap_or(&svg);
        Ok(format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>tailback simulate fleet</title>\n</head>\n<body>\n{picture}{titles}</svg>\n</body>\n</html>\n"
        ))
    }
}

/// A round number of units between two labels of the time axis, so that there are 5 to 12 labels.
fn step(end: f64) -> f64 {
    let power = 10_f64.powf((end / 12.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let found = steps.into_iter().find(|step| end / step <= 12.0);
    found.unwrap_or(end)
}

fn colour(model: usize) -> RGBColor {
    COLOURS[model % COLOURS.len()]
}

fn shown(name: &str) -> String {
    name.chars().take(24).collect()
}

/// The legend of the models, as far as there are colours.
fn legend(report: &FleetReport) -> Legend {
    let models = report.setup.models.iter().zip(COLOURS);
    Legend::of(models.map(|(model, colour)| LegendEntry {
        name: shown(&model.need.name),
        colour,
        thickness: 10,
    }))
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;")
}

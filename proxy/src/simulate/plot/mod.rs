//! Draws the course of a simulation: one panel for each policy, with a common time axis. The
//! picture of several models is in `fleet/plot.rs`.
//!
//! Colours are those of Okabe and Ito, "Color Universal Design" (2008), which
//! the colour-blind can tell apart; in print without colours, areas, thin and
//! thick lines differ.

mod html;
mod legend;
mod panel;
mod pixels;
mod series;

use std::{fs, path::PathBuf, str::FromStr, time::Duration};

use plotters::{
    coord::Shift,
    prelude::{
        DrawingArea, DrawingAreaErrorKind, DrawingBackend, IntoDrawingArea, SVGBackend, WHITE,
    },
    style::{
        FontStyle, IntoFont, RGBColor, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};
use tailback_scaler::simulate::SimulationResult;

pub(super) use self::{
    legend::{Legend, LegendEntry},
    series::{Axis, number},
};
use self::{panel::Panel, pixels::Pixels, series::tops};
use super::Report;

pub(super) const WIDTH: u32 = 1200;
const HEAD: u32 = 84;
/// The position of the legend within the head.
const LEGEND: i32 = 66;
const PANEL: u32 = 240;
pub(super) const FOOT: u32 = 40;
/// Number of time slices of a trace: about one column of pixels each.
const SLICES: u32 = 800;
/// The shortest time that is drawn: a trace may be very short, and its requests take longer.
const SHORTEST: Duration = Duration::from_secs(60);
/// Characters in a line of the head, and the number of lines for the settings.
const LINE: usize = 160;
const LINES: usize = 2;

pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const DEMAND: RGBColor = RGBColor(0xcc, 0xcc, 0xcc);
const IN_FLIGHT: RGBColor = RGBColor(0x00, 0x72, 0xb2);
const HELD: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
const DESIRED: RGBColor = RGBColor(0x00, 0x00, 0x00);
const READY: RGBColor = RGBColor(0x00, 0x9e, 0x73);

/// The width of a time slice, for a trace that would end at `end` if no request waited.
pub(super) fn slice(end: Duration) -> Duration {
    end.max(SHORTEST) / SLICES
}

/// A requested picture.
#[derive(Clone, Debug)]
pub(super) struct PictureFile {
    path: PathBuf,
    format: PictureFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PictureFormat {
    Svg,
    Png,
    Html,
}

impl FromStr for PictureFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
        let format = match ending.as_ref().and_then(|ending| ending.to_str()) {
            Some("svg") => PictureFormat::Svg,
            Some("png") => PictureFormat::Png,
            Some("html") => PictureFormat::Html,
            _ => {
                return Err(format!(
                    "found {text:?}, expected a file that ends in .svg, .png or .html"
                ));
            }
        };
        Ok(Self { path, format })
    }
}

/// A drawing.
pub(super) trait Drawing {
    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);
    /// Draws it.
    fn draw<DB: DrawingBackend>(&self, root: &Area<DB>) -> Drawn<DB>;
    /// The same as an interactive page.
    fn page(&self) -> Result<String, String>;
}

impl PictureFile {
    /// Draws the picture and writes the file.
    pub(super) fn draw(&self, drawing: &impl Drawing) -> Result<(), String> {
        let image = render(self.format, drawing)?;
        fs::write(&self.path, image)
            .map_err(|error| format!("--plot: {}: {error}", self.path.display()))
    }
}

pub(super) fn render(format: PictureFormat, drawing: &impl Drawing) -> Result<Vec<u8>, String> {
    match format {
        PictureFormat::Html => Ok(drawing.page()?.into_bytes()),
        PictureFormat::Svg => Ok(svg(drawing)?.into_bytes()),
        PictureFormat::Png => {
            let mut pixels = Pixels::new(drawing.size());
            let root = pixels.backend().into_drawing_area();
            let drawn = drawing.draw(&root).and_then(|()| root.present());
            drawn.map_err(|error| format!("--plot: {error}"))?;
            drop(root);
            pixels.encode().map_err(|error| format!("--plot: {error}"))
        }
    }
}

pub(super) fn svg(drawing: &impl Drawing) -> Result<String, String> {
    let mut text = String::new();
    let root = SVGBackend::with_string(&mut text, drawing.size()).into_drawing_area();
    let drawn = drawing.draw(&root).and_then(|()| root.present());
    drawn.map_err(|error| format!("--plot: {error}"))?;
    drop(root);
    Ok(text)
}

pub(super) type Area<DB> = DrawingArea<DB, Shift>;
pub(super) type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

impl Drawing for Report {
    fn size(&self) -> (u32, u32) {
        let panels = self.comparison.outcomes.len() as u32;
        (WIDTH, HEAD + PANEL * panels + FOOT)
    }

    fn draw<DB: DrawingBackend>(&self, root: &Area<DB>) -> Drawn<DB> {
        root.fill(&WHITE)?;
        let (head, mut rest) = root.split_vertically(HEAD);
        self::head(&head, self)?;
        let comparison = &self.comparison;
        let axis = Axis::of(self);
        let concurrency = self.setup.conditions.concurrency;
        let tops = tops(&comparison.outcomes, &comparison.demand, concurrency);
        for (i, outcome) in comparison.outcomes.iter().enumerate() {
            let last = i + 1 == comparison.outcomes.len();
            let (area, below) = rest.split_vertically(PANEL + if last { FOOT } else { 0 });
            let panel = Panel {
                outcome,
                report: self,
                axis: &axis,
                tops,
                foot: if last { FOOT } else { 0 },
            };
            panel.draw(&area)?;
            rest = below;
        }
        Ok(())
    }

    fn page(&self) -> Result<String, String> {
        Ok(html::page(self))
    }
}

fn title(report: &Report) -> String {
    let comparison = &report.comparison;
    format!(
        "{}: {} requests, wanted within {} s",
        report.source,
        comparison.requests,
        comparison.slo_wait.as_secs_f64()
    )
}

/// A policy's results in one line.
fn summary(report: &Report, outcome: &SimulationResult) -> String {
    let (comparison, cost) = (&report.comparison, outcome.replica_seconds);
    let mut text = format!(
        "{:.2} % in time, {cost:.0} replica-seconds",
        100.0 * outcome.attainment(comparison.slo_wait)
    );
    if let Some(times) = comparison.times_needed(cost) {
        text += &format!(" ({times:.2}× of what is needed)");
    }
    if let Some(price) = report.price {
        text += &format!(", costs {:.2}", super::report::cost(outcome, price));
    }
    text
}

/// Title, settings and legend.
fn head<DB: DrawingBackend>(area: &Area<DB>, report: &Report) -> Drawn<DB> {
    let title: String = title(report).chars().take(LINE - 30).collect();
    area.draw_text(&title, &bold(16), (12, 8))?;
    for (i, line) in wrapped(&report.settings()).iter().take(LINES).enumerate() {
        area.draw_text(line, &style(12), (12, 29 + 14 * i as i32))?;
    }
    let entries = [
        ("demand (in flight if none had to wait)", DEMAND, 10),
        ("in flight", IN_FLIGHT, 2),
        ("held", HELD, 10),
        ("replicas desired", DESIRED, 1),
        ("replicas ready", READY, 4),
    ];
    let legend = Legend::of(entries.map(|(name, colour, thickness)| LegendEntry {
        name: name.to_owned(),
        colour,
        thickness,
    }));
    legend.draw(area, LEGEND)?;
    let scales = "one scale for all";
    area.draw_text(scales, &right(style(12)), (WIDTH as i32 - 12, LEGEND))
}

/// Breaks text into lines, between words if possible.
pub(super) fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let word: String = word.chars().take(LINE).collect();
        match lines.last_mut() {
            Some(line) if line.is_empty() => *line = word,
            Some(line) if line.chars().count() + 1 + word.chars().count() <= LINE => {
                *line += " ";
                *line += &word;
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// A text style of `size` pixels, positioned by its upper left corner.
pub(super) fn style<'a>(size: u32) -> TextStyle<'a> {
    // The library takes the size as the height of a line.
    let font = ("sans-serif", f64::from(size) * 1.24).into_font();
    TextStyle::from(font).color(&INK)
}

pub(super) fn bold<'a>(size: u32) -> TextStyle<'a> {
    let font = ("sans-serif", f64::from(size) * 1.24).into_font();
    TextStyle::from(font.style(FontStyle::Bold)).color(&INK)
}

/// The same style, positioned by its upper right corner.
pub(super) fn right(style: TextStyle<'_>) -> TextStyle<'_> {
    style.pos(Pos::new(HPos::Right, VPos::Top))
}

#[cfg(test)]
mod tests;

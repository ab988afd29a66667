//! The legend of a picture.

use plotters::{
    prelude::{DrawingBackend, Rectangle},
    style::{Color, RGBColor},
};

use super::{Area, Drawn, WIDTH, style};

const LEFT: i32 = 12;
/// The height of a line, the width of a swatch, and the position of its name, in pixels.
const LINE: i32 = 18;
const SWATCH: i32 = 24;
const NAME: i32 = 30;
/// The width of a character, and of the gap between a name and the next swatch, in pixels.
const CHARACTER: i32 = 7;
const GAP: i32 = 24;

/// The meaning of one colour.
pub(in crate::simulate) struct LegendEntry {
    pub name: String,
    pub colour: RGBColor,
    /// The thickness of its line or area in pixels.
    pub thickness: i32,
}

/// All entries, in lines as wide as the picture.
pub(in crate::simulate) struct Legend(Vec<Vec<LegendEntry>>);

impl LegendEntry {
    fn width(&self) -> i32 {
        NAME + CHARACTER * self.name.chars().count() as i32 + GAP
    }
}

impl Legend {
    pub(in crate::simulate) fn of(entries: impl IntoIterator<Item = LegendEntry>) -> Self {
        let mut lines = vec![Vec::new()];
        let mut x = LEFT;
        for entry in entries {
            if x + entry.width() > WIDTH as i32 {
                lines.push(Vec::new());
                x = LEFT;
            }
            x += entry.width();
            if let Some(line) = lines.last_mut() {
                line.push(entry);
            }
        }
        Self(lines)
    }

    /// The height of all lines in pixels.
    pub(in crate::simulate) fn height(&self) -> i32 {
        LINE * self.0.len() as i32
    }

    pub(in crate::simulate) fn draw<DB: DrawingBackend>(
        &self,
        area: &Area<DB>,
        top: i32,
    ) -> Drawn<DB> {
        for (line, entries) in self.0.iter().enumerate() {
            let (mut x, y) = (LEFT, top + LINE * line as i32);
            for entry in entries {
                let swatch = [
                    (x, y + 6 - entry.thickness / 2),
                    (x + SWATCH, y + 6 + (entry.thickness + 1) / 2),
                ];
                area.draw(&Rectangle::new(swatch, entry.colour.filled()))?;
                area.draw_text(&entry.name, &style(12), (x + NAME, y))?;
                x += entry.width();
            }
        }
        Ok(())
    }
}

//! Draws pixels without system libraries or fonts: the plotting library draws shapes, and text is
//! set in the X Window System's fixed fonts.

use embedded_graphics::{
    Drawable,
    draw_target::DrawTarget,
    geometry::{OriginDimensions, Point, Size},
    mono_font::{
        MonoFont, MonoTextStyle,
        iso_8859_1::{FONT_6X12, FONT_7X13, FONT_7X13_BOLD, FONT_9X15_BOLD},
    },
    pixelcolor::BinaryColor,
    text::{Baseline, Text},
};
use plotters::{backend::RGBPixel, prelude::BitMapBackend};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontStyle,
    text_anchor::{HPos, VPos},
};

/// Red, green and blue of each pixel.
pub(super) struct Pixels {
    size: (u32, u32),
    bytes: Vec<u8>,
}

impl Pixels {
    pub(super) fn new(size: (u32, u32)) -> Self {
        Self {
            size,
            bytes: vec![0; size.0 as usize * size.1 as usize * 3],
        }
    }

    pub(super) fn backend(&mut self) -> Backend<'_> {
        Backend(BitMapBackend::with_buffer(&mut self.bytes, self.size))
    }

    /// Encodes the picture as PNG.
    pub(super) fn encode(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut image = Vec::new();
        let mut encoder = png::Encoder::new(&mut image, self.size.0, self.size.1);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header()?.write_image_data(&self.bytes)?;
        Ok(image)
    }
}

/// Draws into [`Pixels`].
pub(super) struct Backend<'a>(BitMapBackend<'a, RGBPixel>);

type Failure<'a> = DrawingErrorKind<<BitMapBackend<'a, RGBPixel> as DrawingBackend>::ErrorType>;

impl<'a> DrawingBackend for Backend<'a> {
    type ErrorType = <BitMapBackend<'a, RGBPixel> as DrawingBackend>::ErrorType;

    fn get_size(&self) -> (u32, u32) {
        self.0.get_size()
    }

    fn ensure_prepared(&mut self) -> Result<(), Failure<'a>> {
        self.0.ensure_prepared()
    }

    fn present(&mut self) -> Result<(), Failure<'a>> {
        self.0.present()
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Result<(), Failure<'a>> {
        self.0.draw_pixel(point, color)
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Result<(), Failure<'a>> {
        self.0.draw_line(from, to, style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Result<(), Failure<'a>> {
        self.0.draw_rect(upper_left, bottom_right, style, fill)
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        at: BackendCoord,
    ) -> Result<(), Failure<'a>> {
        let font = font(style);
        let (width, height) = extent(font, text);
        let anchor = style.anchor();
        let left = match anchor.h_pos {
            HPos::Left => 0,
            HPos::Center => width as i32 / 2,
            HPos::Right => width as i32,
        };
        let top = match anchor.v_pos {
            VPos::Top => 0,
            VPos::Center => height as i32 / 2,
            VPos::Bottom => height as i32,
        };
        let mut dots = Dots(Vec::new());
        let letters = MonoTextStyle::new(font, BinaryColor::On);
        let origin = Point::new(at.0 - left, at.1 - top);
        // Draws into memory, which cannot fail.
        let Ok(_) = Text::with_baseline(text, origin, letters, Baseline::Top).draw(&mut dots);
        for point in dots.0 {
            self.0.draw_pixel((point.x, point.y), style.color())?;
        }
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), Failure<'a>> {
        Ok(extent(font(style), text))
    }
}

/// The font nearest to the requested size.
fn font<S: BackendTextStyle>(style: &S) -> &'static MonoFont<'static> {
    let bold = matches!(style.style(), FontStyle::Bold);
    match (bold, style.size() / 1.24) {
        (true, 15.0..) => &FONT_9X15_BOLD,
        (true, _) => &FONT_7X13_BOLD,
        (false, 12.0..) => &FONT_7X13,
        (false, _) => &FONT_6X12,
    }
}

fn extent(font: &MonoFont<'_>, text: &str) -> (u32, u32) {
    let each = font.character_size;
    (each.width * text.chars().count() as u32, each.height)
}

/// The dots of letters.
struct Dots(Vec<Point>);

impl OriginDimensions for Dots {
    fn size(&self) -> Size {
        Size::new(u32::MAX / 2, u32::MAX / 2)
    }
}

impl DrawTarget for Dots {
    type Color = BinaryColor;
    type Error = std::convert::Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Self::Error>
    where
        I: IntoIterator<Item = embedded_graphics::Pixel<BinaryColor>>,
    {
        let on = pixels.into_iter().filter(|pixel| pixel.1.is_on());
        self.0.extend(on.map(|pixel| pixel.0));
        Ok(())
    }
}

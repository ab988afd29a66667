//! Reads the lines of a header (RFC 9112, 2 to 5): it finds its parts, as positions in its bytes.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Version};
use smallvec::SmallVec;

use super::{scan::before, usual_names::usual};

/// A part of a header: the index of its first byte, and the index after its last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    from: u32,
    to: u32,
}

impl Range {
    /// The part of `bytes`.
    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.from as usize..self.to as usize]
    }

    /// This part, which [`text`] has found, without spaces and tabs around it.
    fn trimmed(mut self, bytes: &[u8]) -> Self {
        let mut rest = self.of(bytes);
        // Of what `text` accepts, only spaces and tabs are at most a space.
        while let [..=b' ', others @ ..] = rest {
            rest = others;
            self.from += 1;
        }
        while let [others @ .., ..=b' '] = rest {
            rest = others;
            self.to -= 1;
        }
        self
    }

    /// The part of `bytes`, which shares their memory.
    pub(super) fn slice(self, bytes: &Bytes) -> Bytes {
        bytes.slice(self.from as usize..self.to as usize)
    }
}

/// The position of a field.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldLine {
    name: Range,
    value: Range,
}

/// The positions of a header's fields. For usual headers, nothing is allocated.
pub(super) type FieldLines = SmallVec<[FieldLine; 24]>;

/// Why a header was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes end before the header does.
    Partial,
    /// The first line is malformed.
    FirstLine,
    /// A field is malformed.
    Field,
    /// There are too many fields.
    TooMany,
}

/// Reads a header from its beginning on. At most `u32::MAX` bytes are read.
#[derive(Debug)]
pub(super) struct HeaderReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> HeaderReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let most = bytes.len().min(u32::MAX as usize);
        Self {
            bytes: &bytes[..most],
            at: 0,
        }
    }

    /// How many bytes were read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    fn next(&mut self) -> Result<u8, Stop> {
        let next = self.bytes.get(self.at).copied();
        self.at += 1;
        next.ok_or(Stop::Partial)
    }

    /// Skips empty lines before a message (RFC 9112, 2.2).
    pub(super) fn skip_empty_lines(&mut self) -> Result<(), Stop> {
        loop {
            match self.bytes.get(self.at) {
                Some(b'\n') => self.at += 1,
                Some(b'\r') => {
                    self.at += 1;
                    self.line_feed(Stop::FirstLine)?;
                }
                Some(_) => return Ok(()),
                None => return Err(Stop::Partial),
            }
        }
    }

    fn line_feed(&mut self, otherwise: Stop) -> Result<(), Stop> {
        match self.next()? {
            b'\n' => Ok(()),
            _ => Err(otherwise),
        }
    }

    /// The rest of a line end that begins with `byte`.
    fn end_of_line(&mut self, byte: u8, otherwise: Stop) -> Result<(), Stop> {
        match byte {
            b'\n' => Ok(()),
            b'\r' => self.line_feed(otherwise),
            _ => Err(otherwise),
        }
    }

    /// Reads a token, and returns it with the byte after it.
    fn token(&mut self) -> Result<(Range, u8), Stop> {
        self.part(|rest| rest.iter().take_while(|byte| is_token(**byte)).count())
    }

    /// Reads as many bytes as `length` finds in those that are left, and returns them with the byte after
    /// them.
    fn part(&mut self, length: impl FnOnce(&[u8]) -> usize) -> Result<(Range, u8), Stop> {
        let rest = self.bytes.get(self.at..).ok_or(Stop::Partial)?;
        let length = length(rest);
        let end = *rest.get(length).ok_or(Stop::Partial)?;
        let from = self.at;
        self.at += length + 1;
        let to = (from + length) as u32;
        let from = from as u32;
        Ok((Range { from, to }, end))
    }

    /// Reads the first line of a request: method, target and version.
    pub(super) fn request_line(&mut self) -> Result<(Range, Range, Version), Stop> {
        let (method, end) = self.token()?;
        if end != b' ' || method.from == method.to {
            return Err(Stop::FirstLine);
        }
        let (target, end) = self.part(visible)?;
        if end != b' ' || target.from == target.to {
            return Err(Stop::FirstLine);
        }
        let version = self.version()?;
        let end = self.next()?;
        self.end_of_line(end, Stop::FirstLine)?;
        Ok((method, target, version))
    }

    /// Reads the first line of a response: version, status and reason phrase. The phrase is empty if it
    /// is not ASCII.
    pub(super) fn status_line(&mut self) -> Result<(Version, u16, Range), Stop> {
        let version = self.version()?;
        if self.next()? != b' ' {
            return Err(Stop::FirstLine);
        }
        let mut status = 0;
        for _ in 0..3 {
            match self.next()? {
                digit @ b'0'..=b'9' => status = status * 10 + u16::from(digit - b'0'),
                _ => return Err(Stop::FirstLine),
            }
        }
        let mut reason = Range::default();
        let mut end = self.next()?;
        if end == b' ' {
            (reason, end) = self.part(text)?;
            if !reason.of(self.bytes).is_ascii() {
                reason = Range::default();
            }
        }
        self.end_of_line(end, Stop::FirstLine)?;
        Ok((version, status, reason))
    }

    fn version(&mut self) -> Result<Version, Stop> {
        const NAME: &[u8; 7] = b"HTTP/1.";
        let rest = &self.bytes[self.at.min(self.bytes.len())..];
        let version = match rest.get(..8) {
            Some(b"HTTP/1.1") => Version::HTTP_11,
            Some(b"HTTP/1.0") => Version::HTTP_10,
            None if NAME.starts_with(rest) => return Err(Stop::Partial),
            _ => return Err(Stop::FirstLine),
        };
        self.at += 8;
        Ok(version)
    }

    /// Reads up to `most` fields into `lines`, and the end of the header. Whether their names are valid
    /// shows when they are [read](FieldLine::read).
    pub(super) fn fields(&mut self, most: usize, lines: &mut FieldLines) -> Result<(), Stop> {
        loop {
            let (name, end) = self.part(name)?;
            if end != b':' {
                // The empty line after the last field.
                self.end_of_line(end, Stop::Field)?;
                return match name.from == name.to {
                    true => Ok(()),
                    false => Err(Stop::Field),
                };
            }
            let (value, end) = self.part(text)?;
            self.end_of_line(end, Stop::Field)?;
            if name.from == name.to {
                return Err(Stop::Field);
            }
            if lines.len() == most {
                return Err(Stop::TooMany);
            }
            let value = value.trimmed(self.bytes);
            lines.push(FieldLine { name, value });
        }
    }
}

impl FieldLine {
    /// The field's name and value. The value shares the memory of `head`. `None`: the name is not
    /// valid.
    pub(super) fn read(self, head: &Bytes) -> Option<(HeaderName, HeaderValue)> {
        let name = self.name.of(head);
        let name = match usual(name) {
            Some(name) => name,
            None => HeaderName::from_bytes(name).ok()?,
        };
        let value = self.value.slice(head);
        // SAFETY: `text` has accepted these bytes: tabs, and what is from 0x20 on but 0x7f. A
        // `HeaderValue` may have just these. A test compares the two for each byte.
        Some((name, unsafe {
            HeaderValue::from_maybe_shared_unchecked(value)
        }))
    }
}

/// Whether `byte` may be part of a token (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    IS_TOKEN[usize::from(byte)]
}

static IS_TOKEN: [bool; 256] = {
    let mut is_token = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        is_token[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < others.len() {
        is_token[others[at] as usize] = true;
        at += 1;
    }
    is_token
};

/// How many bytes at the beginning of `bytes` may be part of a field's value or of a reason phrase:
/// tabs, and what is from 0x20 on but 0x7f (RFC 9110, 5.5).
fn text(bytes: &[u8]) -> usize {
    let mut all = 0;
    loop {
        all += before::<0x1f, 0x7f>(&bytes[all..]);
        match bytes.get(all) {
            Some(b'\t') => all += 1,
            _ => return all,
        }
    }
}

/// How many bytes at the beginning of `bytes` may be part of a target: all but spaces, 0x7f, and what
/// is below a space.
fn visible(bytes: &[u8]) -> usize {
    before::<b' ', 0x7f>(bytes)
}

/// How many bytes at the beginning of `bytes` precede a colon, a space, or what is below a space.
fn name(bytes: &[u8]) -> usize {
    before::<b' ', b':'>(bytes)
}

#[cfg(test)]
mod tests;

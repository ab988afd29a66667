//! Reads numbered lines of text from bytes. Decompresses gzip, and limits the length of lines.

use std::{
    io::{self, BufRead, BufReader, Cursor, Read, Take},
    mem, str,
};

use flate2::bufread::GzDecoder;

use super::error::ReadError;

/// Longest line, in bytes.
const LONGEST_LINE: u64 = 1024 * 1024;
/// How many bytes are looked at to recognise the format.
const HEAD: u64 = 64;
const GZIP: &[u8] = &[0x1f, 0x8b];
/// The first bytes of compressed formats that are not supported.
const OTHERS: [(&[u8], &str); 4] = [
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
    (&[0xfd, b'7', b'z', b'X', b'Z'], "xz"),
    (b"BZh", "bzip2"),
    (b"PK\x03\x04", "zip"),
];
/// The byte order mark that some editors write at the beginning.
const MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// An iterator over lines.
pub struct Lines<'a> {
    text: Box<dyn BufRead + 'a>,
    line: Vec<u8>,
    number: u64,
}

/// The lines of `input`, compressed or not, and the first byte that is not white space, if there
/// is one near the beginning.
pub(super) fn open<'a>(input: impl BufRead + 'a) -> Result<(Lines<'a>, Option<u8>), ReadError> {
    let (first, input) = head(input)?;
    let text: Box<dyn BufRead + 'a> = if first.starts_with(GZIP) {
        Box::new(BufReader::new(Gunzip::new(Box::new(input))))
    } else {
        Box::new(input)
    };
    let (mut first, text) = head(text)?;
    let format = |found| Err(ReadError::Format { found });
    if let Some((_, how)) = OTHERS.iter().find(|(magic, _)| first.starts_with(magic)) {
        return format(format!("found a file compressed by {how}"));
    }
    if first.contains(&0) {
        return format("found a binary file".to_owned());
    }
    let mut lines = Lines {
        text: Box::new(text),
        line: Vec::new(),
        number: 0,
    };
    if first.starts_with(MARK) {
        lines.text.consume(MARK.len());
        first.drain(..MARK.len());
    }
    let byte = first.trim_ascii_start().first().copied();
    Ok((lines, byte))
}

/// Decompresses one or more gzip members. Zeros may follow: they pad the last block of a tape or
/// a device.
struct Gunzip<'a>(GzDecoder<Take<Box<dyn BufRead + 'a>>>);

impl<'a> Gunzip<'a> {
    fn new(input: Box<dyn BufRead + 'a>) -> Self {
        // A limit that is never reached, used to count bytes.
        Self(GzDecoder::new(input.take(u64::MAX)))
    }

    /// Number of input bytes that were read.
    fn taken(&self) -> u64 {
        u64::MAX - self.0.get_ref().limit()
    }

    /// Whether another member follows.
    fn has_another(&mut self) -> io::Result<bool> {
        let end = self.taken();
        let input = self.0.get_mut();
        loop {
            match input.fill_buf()? {
                [] => return Ok(false),
                [0, rest @ ..] => {
                    let zeros = 1 + rest.iter().take_while(|byte| **byte == 0).count();
                    input.consume(zeros);
                }
                [first, ..] if *first == GZIP[0] => return Ok(true),
                _ => {
                    return Err(io::Error::other(format!(
                        "its gzip ends at byte {end}, and what follows is not gzip; \
                         head -c {end} gives what is before"
                    )));
                }
            }
        }
    }
}

impl Read for Gunzip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.0.read(buffer).map_err(|error| match error.kind() {
                io::ErrorKind::Interrupted => error,
                kind => {
                    let message = format!(
                        "its gzip is cut off or damaged, as seen at byte {} ({error})",
                        self.taken()
                    );
                    io::Error::new(kind, message)
                }
            })?;
            if read > 0 || buffer.is_empty() || !self.has_another()? {
                return Ok(read);
            }
            let none: Box<dyn BufRead> = Box::new(io::empty());
            let input = mem::replace(self.0.get_mut(), none.take(0));
            self.0.reset(input);
        }
    }
}

/// The first bytes of `input`, and a reader of all of it.
fn head<R: BufRead>(mut input: R) -> io::Result<(Vec<u8>, impl BufRead + use<R>)> {
    let mut first = Vec::new();
    input.by_ref().take(HEAD).read_to_end(&mut first)?;
    Ok((first.clone(), Cursor::new(first).chain(input)))
}

impl<'a> Lines<'a> {
    /// The lines of `input`, compressed by gzip or not.
    ///
    /// # Errors
    /// If it cannot be read, or is no text.
    pub fn open(input: impl BufRead + 'a) -> Result<Self, ReadError> {
        open(input).map(|(lines, _)| lines)
    }

    /// The next line that is not blank, trimmed, with its number, from 1. `None` at the end.
    ///
    /// # Errors
    /// If it cannot be read, or is no text.
    #[allow(
        clippy::should_implement_trait,
        reason = "what it returns borrows from it"
    )]
    pub fn next(&mut self) -> Result<Option<(u64, &str)>, ReadError> {
        loop {
            self.line.clear();
            let mut limited = self.text.by_ref().take(LONGEST_LINE);
            if limited.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            let wrong = |found: &str| ReadError::Line {
                line: self.number,
                found: found.to_owned(),
                expected: "a line of text of at most 1 MiB",
            };
            if self.line.len() as u64 == LONGEST_LINE && !self.line.ends_with(b"\n") {
                return Err(wrong("found more than 1 MiB without a line break"));
            }
            if !self.line.trim_ascii().is_empty() {
                break;
            }
        }
        let text = str::from_utf8(&self.line).map_err(|_| ReadError::Line {
            line: self.number,
            found: "found bytes that are not UTF-8".to_owned(),
            expected: "text",
        })?;
        // Tabs stay: with an empty first column, a line begins with its separator.
        Ok(Some((self.number, text.trim_matches([' ', '\r', '\n']))))
    }
}

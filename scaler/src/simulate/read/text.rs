//! From bytes to lines of text: decompressed, with their numbers, and none
//! without end.

use std::{
    io::{self, BufRead, BufReader, Cursor, Read, Take},
    mem, str,
};

use flate2::bufread::GzDecoder;

use super::error::ReadError;

/// Bytes of one line, at most.
const LONGEST_LINE: u64 = 1024 * 1024;
/// Bytes that are looked at to see what it is.
const HEAD: u64 = 64;
const GZIP: &[u8] = &[0x1f, 0x8b];
/// First bytes of what is compressed in a way that is not read.
const OTHERS: [(&[u8], &str); 4] = [
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
    (&[0xfd, b'7', b'z', b'X', b'Z'], "xz"),
    (b"BZh", "bzip2"),
    (b"PK\x03\x04", "zip"),
];
/// What some editors put in front of a text.
const MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// Lines, one after the other.
pub(super) struct Lines<'a> {
    text: Box<dyn BufRead + 'a>,
    line: Vec<u8>,
    number: u64,
}

/// The lines that `input` has, compressed or not, and the first byte that is
/// no white space, if there is one near the beginning.
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

/// What members of gzip have, one after the other. Zeros may follow: they fill
/// up the last block of a tape or a device.
struct Gunzip<'a>(GzDecoder<Take<Box<dyn BufRead + 'a>>>);

impl<'a> Gunzip<'a> {
    fn new(input: Box<dyn BufRead + 'a>) -> Self {
        // A limit that is never reached, to count by.
        Self(GzDecoder::new(input.take(u64::MAX)))
    }

    /// Bytes of the input that have been decompressed.
    fn taken(&self) -> u64 {
        u64::MAX - self.0.get_ref().limit()
    }

    /// Whether a member follows the one that has ended.
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
                        "its gzip ends at byte {end}, and what follows is none; \
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

/// The first bytes, and all of it.
fn head<R: BufRead>(mut input: R) -> io::Result<(Vec<u8>, impl BufRead + use<R>)> {
    let mut first = Vec::new();
    input.by_ref().take(HEAD).read_to_end(&mut first)?;
    Ok((first.clone(), Cursor::new(first).chain(input)))
}

impl Lines<'_> {
    /// The next line that is not blank, without the spaces around it, and its
    /// number, from 1.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &str)>, ReadError> {
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
        // A tab may be between two columns of which the first is empty.
        Ok(Some((self.number, text.trim_matches([' ', '\r', '\n']))))
    }
}

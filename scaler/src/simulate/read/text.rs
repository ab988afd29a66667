//! From bytes to lines of text: decompressed, with their numbers, and none
//! without end.

use std::{
    io::{self, BufRead, BufReader, Cursor, Read},
    str,
};

use flate2::bufread::MultiGzDecoder;

use super::ReadError;

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
        Box::new(BufReader::new(Gunzip(MultiGzDecoder::new(input))))
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

/// Says of what goes wrong that it is the compression's.
struct Gunzip<R>(MultiGzDecoder<R>);

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, format!("its gzip is cut off or damaged ({error})")),
        })
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

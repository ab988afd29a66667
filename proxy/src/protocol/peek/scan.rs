//! The scanner of one body: decoded if it has to be, and a share at a time, so that
//! a body which grows when it is decoded holds up nobody else.

use bytes::Bytes;

use super::{Fault, Format, Found, Progress, Scanner, decode::Decoder};

/// Decoded at once, in bytes.
const BUFFER: usize = 16 * 1024;
/// Decoded and looked at in one go, in bytes: a millisecond's work, about.
const SHARE: usize = 256 * 1024;

/// Looks for the model in a body as it comes, and then for a second one.
#[derive(Debug)]
pub struct BodyScanner {
    scanner: Scanner,
    decoding: Option<Box<Decoding>>,
    /// Bytes of the content that it has looked at.
    at: usize,
}

#[derive(Debug)]
struct Decoding {
    decoder: Decoder,
    /// What has come is not decoded to its end.
    busy: bool,
    buffer: Vec<u8>,
}

/// What has come of looking at a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    /// All of it has been looked at: the next piece is due.
    Hungry,
    /// There is more of it to be looked at, after others have had their turn.
    Busy,
    /// The model. Others may follow it.
    Found(Found),
}

impl BodyScanner {
    /// For a body that `decoder`, if there is one, makes content of.
    #[must_use]
    pub fn new(scanner: Scanner, decoder: Option<Decoder>) -> Self {
        let decoding = decoder.map(|decoder| {
            Box::new(Decoding {
                decoder,
                busy: false,
                buffer: vec![0; BUFFER],
            })
        });
        Self {
            scanner,
            decoding,
            at: 0,
        }
    }

    /// How the model is written there.
    #[must_use]
    pub fn format(&self) -> Format {
        self.scanner.format()
    }

    /// What looks at the content.
    #[must_use]
    pub fn scanner(&self) -> &Scanner {
        &self.scanner
    }

    /// Whether [`go_on`](Self::go_on) is due before the next piece.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.decoding.as_ref().is_some_and(|decoding| decoding.busy)
    }

    /// Bytes of memory that decoding takes, about.
    #[must_use]
    pub fn memory(&self) -> usize {
        let decoding = self.decoding.as_ref();
        decoding.map_or(0, |decoding| BUFFER + decoding.decoder.memory())
    }

    /// Takes the next piece of the body.
    ///
    /// # Errors
    /// What is wrong with it: it names no model, or a second one.
    pub fn feed(&mut self, piece: &Bytes) -> Result<Scan, Fault> {
        if let Some(decoding) = &mut self.decoding {
            decoding.decoder.push(piece.clone());
            decoding.busy = true;
            return self.go_on();
        }
        let found = look(&mut self.scanner, &mut self.at, piece)?;
        Ok(found.map_or(Scan::Hungry, Scan::Found))
    }

    /// Goes on with a piece that was not looked at to its end.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub fn go_on(&mut self) -> Result<Scan, Fault> {
        let Some(decoding) = &mut self.decoding else {
            return Ok(Scan::Hungry);
        };
        let mut decoded = 0;
        while decoded < SHARE {
            let length = decoding.decoder.pull(&mut decoding.buffer)?;
            if length == 0 {
                decoding.busy = false;
                return Ok(Scan::Hungry);
            }
            decoded += length;
            let content = &decoding.buffer[..length];
            if let Some(found) = look(&mut self.scanner, &mut self.at, content)? {
                return Ok(Scan::Found(found));
            }
        }
        Ok(Scan::Busy)
    }

    /// The body has ended, and its model is known: looks at what was left to be decoded.
    ///
    /// # Errors
    /// If there is a second model in it.
    pub fn end(&mut self) -> Result<(), Fault> {
        if self.decoding.is_none() {
            return Ok(());
        }
        match self.finish() {
            Err(fault @ (Fault::Twice | Fault::TwiceInMessage)) => Err(fault),
            // A body that is cut short is between the caller and the replica.
            _ => Ok(()),
        }
    }

    /// The body has ended without a model so far.
    ///
    /// # Errors
    /// If what was left to be decoded has none either.
    pub fn finish(&mut self) -> Result<Found, Fault> {
        if let Some(decoding) = &mut self.decoding {
            loop {
                let length = decoding.decoder.finish(&mut decoding.buffer)?;
                if length == 0 {
                    break;
                }
                let content = &decoding.buffer[..length];
                if let Some(found) = look(&mut self.scanner, &mut self.at, content)? {
                    return Ok(found);
                }
            }
        }
        Err(self.scanner.at_end())
    }
}

/// Looks at the next piece of the content, which begins at `at`; behind the model,
/// too, if it is there.
fn look(scanner: &mut Scanner, at: &mut usize, piece: &[u8]) -> Result<Option<Found>, Fault> {
    let before = *at;
    *at += piece.len();
    let found = match scanner.feed(piece) {
        Progress::More => return Ok(None),
        Progress::Not(fault) => return Err(fault),
        Progress::Found(found) => found,
    };
    let behind = match scanner {
        // They stop at what they have found, which ends in this piece.
        Scanner::Json(_) | Scanner::Message(_) => scanner.feed(&piece[found.span.end - before..]),
        // It has seen the delimiter, and keeps what is behind it.
        Scanner::Multipart(form) => form.feed(&[]),
    };
    match behind {
        Progress::Not(fault) => Err(fault),
        Progress::More | Progress::Found(_) => Ok(Some(found)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Json;
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gzip(text: &[u8]) -> Bytes {
        let mut writer = GzEncoder::new(Vec::new(), Compression::best());
        writer.write_all(text).unwrap();
        writer.finish().unwrap().into()
    }

    fn scanner(coding: Option<&str>) -> BodyScanner {
        let decoder = coding.map(|name| Decoder::named(name).unwrap());
        BodyScanner::new(Scanner::Json(Json::default()), decoder)
    }

    /// What is found in a body that comes in pieces of `length` bytes, and how often
    /// others had their turn.
    fn scanned(coding: Option<&str>, body: &Bytes, length: usize) -> (Result<Found, Fault>, u32) {
        let mut scanner = scanner(coding);
        let (mut found, mut turns) = (None, 0);
        for piece in body.chunks(length) {
            let mut scan = scanner.feed(&Bytes::copy_from_slice(piece));
            loop {
                match scan {
                    Ok(Scan::Found(name)) => found = Some(name),
                    Ok(Scan::Busy) => turns += 1,
                    Ok(Scan::Hungry) => {}
                    Err(fault) => return (Err(fault), turns),
                }
                if !scanner.is_busy() {
                    break;
                }
                scan = scanner.go_on();
            }
        }
        (found.map_or_else(|| scanner.finish(), Ok), turns)
    }

    #[test]
    fn model_is_found_in_what_a_body_is_decoded_to() {
        let text = format!(
            "{{\"messages\": \"{}\", \"model\": \"m\"}}",
            "x".repeat(3 << 20)
        );
        let plain = Bytes::from(text.clone());
        let start = text.len() - 4;
        for (coding, body) in [(None, plain), (Some("gzip"), gzip(text.as_bytes()))] {
            for length in [7, 100, 1 << 20] {
                let (found, turns) = scanned(coding, &body, length);
                let found = found.unwrap();
                assert_eq!((found.name.as_str(), found.span), ("m", start..start + 3));
                assert!(
                    coding.is_none() || length < 1 << 20 || turns > 2,
                    "{turns} turns"
                );
            }
        }
    }

    #[test]
    fn second_model_is_seen_in_what_is_decoded_later() {
        let filler = "x".repeat(1 << 20);
        let text = format!("{{\"model\":\"m\",\"a\":\"{filler}\",\"model\":\"n\"}}");
        let (found, _) = scanned(Some("gzip"), &gzip(text.as_bytes()), 1 << 20);
        assert_eq!(found, Err(Fault::Twice));
        let (cut, _) = scanned(Some("gzip"), &gzip(b"{\"a\":1").slice(..20), 5);
        assert_eq!(cut, Err(Fault::NotDecodable));
        let (none, _) = scanned(Some("gzip"), &gzip(b"{\"a\":1"), 5);
        assert_eq!(none, Err(Fault::NotJson));
    }
}

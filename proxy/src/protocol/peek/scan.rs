//! Scans one body, decoding it if needed. It decodes a limited share at a time, so that a body that
//! grows by decoding does not block other requests.

use bytes::Bytes;

use super::{
    Fault, Format, Found, Message, Progress, Scanner,
    decode::Decoder,
    envelope::{Envelope, MessageCoding, Opened},
};

/// Bytes decoded at once.
const BUFFER: usize = 16 * 1024;
/// Bytes decoded and scanned before yielding: about a millisecond of work.
const SHARE: usize = 256 * 1024;

/// Looks for the model in a body as it arrives, and then for a second one.
#[derive(Debug)]
pub struct BodyScanner {
    scanner: Scanner,
    decoding: Option<Box<Decoding>>,
    /// The envelope of the first message of a gRPC call, if it may be compressed.
    envelope: Option<Box<Envelope>>,
    /// Bytes of the content scanned so far.
    at: usize,
}

#[derive(Debug)]
struct Decoding {
    decoder: Decoder,
    /// Whether some of what was put in is not decoded yet.
    busy: bool,
    buffer: Vec<u8>,
}

/// The result of scanning a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    /// The piece was scanned; the next one may be fed.
    Hungry,
    /// There is more to scan in the piece, after other tasks have run.
    Busy,
    /// The model was found. The rest is scanned for a second one.
    Found(Found),
}

impl Decoding {
    fn new(decoder: Decoder) -> Box<Self> {
        Box::new(Self {
            decoder,
            busy: false,
            buffer: vec![0; BUFFER],
        })
    }
}

impl BodyScanner {
    /// For a body that is decoded by `decoder`, if there is one.
    #[must_use]
    pub fn new(scanner: Scanner, decoder: Option<Decoder>) -> Self {
        Self {
            scanner,
            decoding: decoder.map(Decoding::new),
            envelope: None,
            at: 0,
        }
    }

    /// For the messages of a gRPC call, which may be compressed by `coding`. The first one names
    /// the model in `field`.
    #[must_use]
    pub fn message(field: u32, coding: Option<MessageCoding>) -> Self {
        Self {
            envelope: coding.map(|coding| Box::new(Envelope::new(coding))),
            ..Self::new(Scanner::Message(Message::new(field)), None)
        }
    }

    /// How the model's name is encoded.
    #[must_use]
    pub fn format(&self) -> Format {
        self.scanner.format()
    }

    /// The scanner of the content.
    #[must_use]
    pub fn scanner(&self) -> &Scanner {
        &self.scanner
    }

    /// Whether [`go_on`](Self::go_on) must be called before the next piece is fed.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.decoding.as_ref().is_some_and(|decoding| decoding.busy)
    }

    /// Bytes of memory used for decoding, approximately.
    #[must_use]
    pub fn memory(&self) -> usize {
        let decoding = self.decoding.as_ref();
        decoding.map_or(0, |decoding| BUFFER + decoding.decoder.memory())
    }

    /// Scans the next piece of the body.
    ///
    /// # Errors
    /// If the body names no model, names two, or is malformed.
    pub fn feed(&mut self, piece: &Bytes) -> Result<Scan, Fault> {
        let Some(envelope) = &mut self.envelope else {
            return self.feed_content(piece);
        };
        match envelope.open(piece.clone())? {
            Opened::Nothing => Ok(Scan::Hungry),
            Opened::Plain(prefix, rest) => {
                self.envelope = None;
                self.feed_content(&prefix)?;
                self.feed_content(&rest)
            }
            Opened::Compressed(part) => {
                if self.decoding.is_none() {
                    self.decoding = Some(Decoding::new(envelope.decoder()?));
                    if let Scanner::Message(message) = &mut self.scanner {
                        *message = Message::unframed(message.field());
                    }
                }
                self.feed_content(&part)
            }
        }
    }

    fn feed_content(&mut self, piece: &Bytes) -> Result<Scan, Fault> {
        if let Some(decoding) = &mut self.decoding {
            decoding.decoder.push(piece.clone());
            decoding.busy = true;
            return self.go_on();
        }
        let found = look(&mut self.scanner, &mut self.at, piece)?;
        Ok(found.map_or(Scan::Hungry, Scan::Found))
    }

    /// Continues with a piece that was not scanned completely.
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
                return match self.envelope.as_ref().is_some_and(|e| e.is_whole()) {
                    true => self.end_message(),
                    false => Ok(Scan::Hungry),
                };
            }
            decoded += length;
            let content = &decoding.buffer[..length];
            if let Some(found) = look(&mut self.scanner, &mut self.at, content)? {
                return Ok(Scan::Found(found));
            }
        }
        Ok(Scan::Busy)
    }

    /// Ends a compressed message. What follows it is left to the replica.
    fn end_message(&mut self) -> Result<Scan, Fault> {
        let mut found = None;
        if let Some(decoding) = &mut self.decoding {
            loop {
                let length = decoding.decoder.finish(&mut decoding.buffer)?;
                if length == 0 {
                    break;
                }
                let content = &decoding.buffer[..length];
                found = found.or(look(&mut self.scanner, &mut self.at, content)?);
            }
        }
        (self.decoding, self.envelope) = (None, None);
        if let Scanner::Message(message) = &mut self.scanner {
            message.end()?;
        }
        Ok(found.map_or(Scan::Hungry, Scan::Found))
    }

    /// Scans what is left to be decoded after the end of a body whose model is known.
    ///
    /// # Errors
    /// If it names a second model.
    pub fn end(&mut self) -> Result<(), Fault> {
        if self.decoding.is_none() {
            return Ok(());
        }
        match self.finish() {
            Err(fault @ (Fault::Twice | Fault::TwiceInMessage)) => Err(fault),
            // An incomplete body is left to the replica.
            _ => Ok(()),
        }
    }

    /// Scans what is left to be decoded after the end of a body whose model is not known yet.
    ///
    /// # Errors
    /// If that names no model either.
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

/// Scans the next piece of the content, which starts at offset `at`. If it has the model, also
/// scans the bytes after it.
fn look(scanner: &mut Scanner, at: &mut usize, piece: &[u8]) -> Result<Option<Found>, Fault> {
    let before = *at;
    *at += piece.len();
    let found = match scanner.feed(piece) {
        Progress::More => return Ok(None),
        Progress::Not(fault) => return Err(fault),
        Progress::Found(found) => found,
    };
    let behind = match scanner {
        // These scanners stop after the model, which ends in this piece.
        Scanner::Json(_) | Scanner::Message(_) => scanner.feed(&piece[found.span.end - before..]),
        // This scanner has buffered what follows the model.
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

    /// The result for a body in pieces of `length` bytes, and how often the scanner has yielded.
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
    fn the_model_is_found_in_a_decoded_body() {
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

    /// A gRPC message compressed by gzip, with its prefix.
    fn compressed(message: &[u8]) -> Vec<u8> {
        let content = gzip(message);
        let mut framed = vec![1];
        framed.extend((content.len() as u32).to_be_bytes());
        framed.extend(&content);
        framed
    }

    /// The model found in a call in pieces of `length` bytes.
    fn scanned_call(call: &[u8], length: usize) -> Result<Option<String>, Fault> {
        let mut scanner = BodyScanner::message(1, Some(MessageCoding::Gzip));
        let mut found = None;
        for piece in call.chunks(length) {
            let mut scan = scanner.feed(&Bytes::copy_from_slice(piece))?;
            loop {
                if let Scan::Found(name) = scan {
                    found = Some(name.name);
                }
                if !scanner.is_busy() {
                    break;
                }
                scan = scanner.go_on()?;
            }
        }
        Ok(found)
    }

    #[test]
    fn model_is_found_in_a_message_that_is_compressed_or_not() {
        // After 1 MiB of another field.
        let late = [
            &[0x12, 0x80, 0x80, 0x40][..],
            &vec![0; 1 << 20],
            b"\x0a\x01m",
        ]
        .concat();
        let next = compressed(b"\x0a\x01n");
        for message in [&b"\x0a\x01m"[..], b"\x12\x01v\x0a\x01m\x1a\x01v", &late] {
            let mut plain = vec![0];
            plain.extend((message.len() as u32).to_be_bytes());
            plain.extend(message);
            for first in [compressed(message), plain] {
                let call = [first, next.clone()].concat();
                for length in [1, 7, 1 << 16] {
                    let found = scanned_call(&call, length);
                    assert_eq!(found, Ok(Some("m".into())), "{length}");
                }
            }
        }
    }

    #[test]
    fn a_compressed_message_that_is_malformed_or_names_no_model_or_two_is_refused() {
        let broken = [&compressed(b"\x0a\x01m")[..12], &[7; 30]].concat();
        let bomb = [
            &[0x12, 0x80, 0x80, 0x80, 0x80, 0x01][..],
            &vec![0; 16 << 20],
        ]
        .concat();
        for (call, fault) in [
            (compressed(b"\x12\x01v"), Fault::AbsentInMessage),
            (compressed(b""), Fault::AbsentInMessage),
            (compressed(b"\x0a\x01m\x0a\x01n"), Fault::TwiceInMessage),
            (compressed(b"\x0a\x05m"), Fault::NotMessage),
            (broken, Fault::NotDecodable),
            (compressed(&bomb), Fault::Bomb),
        ] {
            for length in [1, 1 << 16] {
                assert_eq!(scanned_call(&call, length), Err(fault), "{length}");
            }
        }
        let mut unknown = BodyScanner::message(1, None);
        let call = Bytes::from(compressed(b"\x0a\x01m"));
        assert_eq!(unknown.feed(&call), Err(Fault::Compressed));
    }

    #[test]
    fn a_second_model_is_found_in_the_part_decoded_later() {
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

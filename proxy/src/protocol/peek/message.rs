//! Finds a string field of the first message of a gRPC call, by the wire format of Protocol Buffers
//! (protobuf.dev/programming-guides/encoding). Fields before it are skipped.
//!
//! A second such field is an error, because parsers take the last of two. So the rest of the
//! message is scanned while it passes.

use super::{Fault, Found, LONGEST_NAME, Progress, envelope::PREFIX};

/// Scans a message, piece by piece.
#[derive(Debug)]
pub struct Message {
    field: u32,
    state: State,
    /// Bytes of the call so far.
    at: usize,
    /// Bytes left of the message.
    left: u32,
    /// Whether the name was found.
    found: bool,
}

#[derive(Debug)]
enum State {
    /// Within the five bytes of the prefix; how many were read.
    Prefix(u8),
    /// Within a tag.
    Tag(Varint),
    /// Within a number that is skipped.
    Number(Varint),
    /// Within the length of a field. `true`: it is the field that is searched.
    Length(Varint, bool),
    /// This many bytes are skipped.
    Skip(u32),
    /// Within the name. `start`: where the field's length starts.
    Name {
        text: Vec<u8>,
        length: usize,
        start: usize,
    },
    /// After the message. Later messages of the call are left to the replica.
    End,
}

/// A varint, seven bits per byte, read so far.
#[derive(Clone, Copy, Debug, Default)]
struct Varint {
    value: u64,
    bytes: u8,
}

impl Varint {
    /// Reads a byte. Returns the number if this was its last byte.
    fn take(&mut self, byte: u8) -> Result<Option<u64>, Fault> {
        if self.bytes == 10 {
            return Err(Fault::NotMessage);
        }
        self.value |= u64::from(byte & 0x7f)
            .checked_shl(7 * u32::from(self.bytes))
            .unwrap_or(0);
        self.bytes += 1;
        Ok((byte & 0x80 == 0).then_some(self.value))
    }
}

impl Message {
    /// Looks for the string in field number `field`.
    #[must_use]
    pub fn new(field: u32) -> Self {
        Self {
            field,
            state: State::Prefix(0),
            at: 0,
            left: 0,
            found: false,
        }
    }

    /// The same for a message without prefix, whose [`end`](Self::end) the caller knows.
    #[must_use]
    pub(super) fn unframed(field: u32) -> Self {
        Self {
            state: State::Tag(Varint::default()),
            left: u32::MAX,
            ..Self::new(field)
        }
    }

    /// The message ends here. Nothing after this is scanned.
    ///
    /// # Errors
    /// If the message is incomplete, or has no name.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        match std::mem::replace(&mut self.state, State::End) {
            State::Tag(Varint { bytes: 0, .. }) if !self.found => Err(Fault::AbsentInMessage),
            State::Tag(Varint { bytes: 0, .. }) | State::End => Ok(()),
            _ => Err(Fault::NotMessage),
        }
    }

    /// The field number that it looks for.
    #[must_use]
    pub fn field(&self) -> u32 {
        self.field
    }

    /// Scans the next piece of the body. After the name was found, call it with the rest of that
    /// piece, and then with the following ones; from then on, [`Progress::More`] means that all is
    /// well.
    pub fn feed(&mut self, piece: &[u8]) -> Progress {
        let mut rest = piece;
        while let Some((&byte, after)) = rest.split_first() {
            if let State::End = self.state {
                break;
            }
            if let State::Skip(skip) = &mut self.state {
                let skipped = (*skip as usize).min(rest.len());
                rest = &rest[skipped..];
                self.at += skipped;
                // At most `skip`, which has 32 bits.
                self.left -= skipped as u32;
                *skip -= skipped as u32;
                if *skip == 0 {
                    self.state = State::Tag(Varint::default());
                    if let Err(end) = self.between() {
                        return end;
                    }
                }
                continue;
            }
            rest = after;
            if let Err(end) = self.step(byte) {
                return end;
            }
        }
        Progress::More
    }

    /// Scans one byte. Returns the result as an error, if the scan ends here.
    fn step(&mut self, byte: u8) -> Result<(), Progress> {
        let at = self.at;
        self.at += 1;
        if !matches!(self.state, State::Prefix(_)) {
            self.left -= 1;
        }
        let not = |fault| Err(Progress::Not(fault));
        let number = |varint: &mut Varint| varint.take(byte).map_err(Progress::Not);
        match &mut self.state {
            State::Prefix(read) => {
                match *read {
                    0 if byte == 1 => return not(Fault::Compressed),
                    0 if byte != 0 => return not(Fault::NotMessage),
                    0 => {}
                    _ => self.left = self.left << 8 | u32::from(byte),
                }
                *read += 1;
                if usize::from(*read) == PREFIX {
                    self.state = State::Tag(Varint::default());
                }
            }
            State::Tag(varint) => {
                if let Some(tag) = number(varint)? {
                    if tag > u64::from(u32::MAX) {
                        return not(Fault::NotMessage);
                    }
                    let wanted = tag >> 3 == u64::from(self.field);
                    self.state = match tag & 7 {
                        0 => State::Number(Varint::default()),
                        1 => State::Skip(8),
                        2 => State::Length(Varint::default(), wanted),
                        5 => State::Skip(4),
                        _ => return not(Fault::NotMessage),
                    };
                }
            }
            State::Number(varint) => {
                if number(varint)?.is_some() {
                    self.state = State::Tag(Varint::default());
                }
            }
            State::Length(varint, wanted) => {
                let bytes = varint.bytes;
                if let Some(length) = number(varint)? {
                    if length > u64::from(self.left) {
                        return not(Fault::NotMessage);
                    }
                    // At most `left`, which has 32 bits.
                    let length = length as u32;
                    self.state = match (*wanted, length) {
                        (true, _) if self.found => return not(Fault::TwiceInMessage),
                        // An empty name is none, and a further one counts.
                        (_, 0) => State::Tag(Varint::default()),
                        (false, _) => State::Skip(length),
                        (true, _) if length as usize > LONGEST_NAME => {
                            return not(Fault::TooLong);
                        }
                        (true, _) => State::Name {
                            text: Vec::with_capacity(length as usize),
                            length: length as usize,
                            start: at - usize::from(bytes),
                        },
                    };
                }
            }
            State::Name {
                text,
                length,
                start,
            } => {
                text.push(byte);
                if text.len() == *length {
                    let (text, span) = (std::mem::take(text), *start..self.at);
                    self.found = true;
                    self.state = State::Tag(Varint::default());
                    self.between()?;
                    return Err(match String::from_utf8(text) {
                        Ok(name) => Progress::Found(Found { name, span }),
                        Err(_) => Progress::Not(Fault::NotMessage),
                    });
                }
            }
            State::Skip(_) | State::End => {}
        }
        self.between()?;
        match self.state {
            State::Prefix(_) | State::End => Ok(()),
            State::Skip(skip) if skip <= self.left => Ok(()),
            State::Name { .. } => Ok(()),
            _ if self.left == 0 => not(Fault::NotMessage),
            State::Skip(_) => not(Fault::NotMessage),
            _ => Ok(()),
        }
    }

    /// Ends the message if it ends after this field. Returns an error if it has no name.
    fn between(&mut self) -> Result<(), Progress> {
        match self.state {
            State::Tag(Varint { bytes: 0, .. }) if self.left == 0 => match self.found {
                true => self.state = State::End,
                false => return Err(Progress::Not(Fault::AbsentInMessage)),
            },
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        let mut framed = vec![0];
        framed.extend((message.len() as u32).to_be_bytes());
        framed.extend(message);
        framed
    }

    fn name(field: u32, call: &[u8]) -> Result<String, Progress> {
        match Message::new(field).feed(call) {
            Progress::Found(found) => Ok(found.name),
            other => Err(other),
        }
    }

    #[test]
    fn finds_the_field_among_others() {
        for (field, message, expected) in [
            (1, &b"\x0a\x04iris"[..], "iris"),
            (1, b"\x12\x01\x31\x0a\x04iris", "iris"),
            (2, b"\x0a\x04iris\x12\x01\x31", "1"),
            // Preceded by a varint, a 64-bit, a 32-bit, and an empty string field.
            (
                3,
                b"\x08\x96\x01\x11\0\0\0\0\0\0\0\0\x15\0\0\0\0\x22\0\x1a\x01m",
                "m",
            ),
        ] {
            assert_eq!(name(field, &framed(message)).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_missing_model_is_reported_with_its_reason() {
        let cases: &[(Vec<u8>, Progress)] = &[
            (framed(b""), Progress::More),
            (
                framed(b"\x12\x01\x31"),
                Progress::Not(Fault::AbsentInMessage),
            ),
            (framed(b"\x0a\0"), Progress::Not(Fault::AbsentInMessage)),
            (framed(b"\x0a\x05iris"), Progress::Not(Fault::NotMessage)),
            (framed(b"\x0b"), Progress::Not(Fault::NotMessage)),
            (
                framed(b"\x0a\x02\xff\xff"),
                Progress::Not(Fault::NotMessage),
            ),
            (framed(b"\x11\0"), Progress::Not(Fault::NotMessage)),
            (framed(&[0x80; 11]), Progress::Not(Fault::NotMessage)),
            (vec![1, 0, 0, 0, 1, 9], Progress::Not(Fault::Compressed)),
            (vec![2, 0, 0, 0, 1, 9], Progress::Not(Fault::NotMessage)),
            (vec![0, 0], Progress::More),
        ];
        for (call, expected) in &cases[1..] {
            assert_eq!(name(1, call), Err(expected.clone()), "{call:?}");
        }
        assert_eq!(
            Message::new(1).feed(&cases[0].0),
            Progress::Not(Fault::AbsentInMessage)
        );
    }

    /// The result of scanning what follows the name; it must not depend on how the call is cut.
    fn after(call: &[u8]) -> Progress {
        let mut scanner = Message::new(1);
        let Progress::Found(found) = scanner.feed(call) else {
            panic!("no name in {call:?}")
        };
        let mut end = Progress::More;
        for byte in &call[found.span.end..] {
            if end == Progress::More {
                end = scanner.feed(&[*byte]);
            }
        }
        end
    }

    #[test]
    fn a_second_name_is_found_as_the_message_passes() {
        let twice = Progress::Not(Fault::TwiceInMessage);
        for (message, expected) in [
            (&b"\x0a\x01m"[..], Progress::More),
            (b"\x0a\x01m\x12\x03\x0a\x01x", Progress::More),
            (b"\x0a\x01m\x0a\x01n", twice.clone()),
            (b"\x0a\x01m\x08\x01\x12\x01\x31\x0a\0", twice.clone()),
            // The tag encoded in more bytes than needed.
            (b"\x0a\x01m\x8a\0\x01n", twice),
            // A tag with high bits that some parsers drop.
            (
                b"\x0a\x01m\x8a\x80\x80\x80\x10\x01n",
                Progress::Not(Fault::NotMessage),
            ),
            (b"\x0a\x01m\x0b", Progress::Not(Fault::NotMessage)),
        ] {
            assert_eq!(after(&framed(message)), expected, "{message:?}");
        }
        let stream = [framed(b"\x0a\x01m"), framed(b"\x0a\x01n")].concat();
        assert_eq!(
            after(&stream),
            Progress::More,
            "the next message is another"
        );
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_cuts(
            version in "[0-9]{0,5}",
            model in "[a-z]{1,20}",
            cuts in proptest::collection::vec(0usize..64, 0..6),
        ) {
            let mut message = vec![0x12, version.len() as u8];
            message.extend(version.bytes());
            message.extend([0x0a, model.len() as u8]);
            message.extend(model.bytes());
            let call = framed(&message);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(call.len())).collect();
            cuts.extend([0, call.len()]);
            cuts.sort_unstable();
            let mut scanner = Message::new(1);
            let mut end = Progress::More;
            for pair in cuts.windows(2) {
                if end == Progress::More {
                    end = scanner.feed(&call[pair[0]..pair[1]]);
                }
            }
            let Progress::Found(found) = end else { panic!("{end:?}") };
            prop_assert_eq!(&found.name, &model);
            // The span covers the length and the string.
            prop_assert_eq!(&call[found.span][1..], model.as_bytes());
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, framing: bool) {
            let call = if framing { framed(&bytes) } else { bytes };
            let _ = Message::new(1).feed(&call);
        }
    }
}

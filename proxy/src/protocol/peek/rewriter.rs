//! Replaces the model's name in bodies that cannot be edited in memory: an encoded body, which is
//! forwarded decoded, and the messages of a gRPC call. Pieces of the old body go in, pieces of the
//! new one come out.

use std::{collections::VecDeque, ops::Range};

use bytes::{Bytes, BytesMut};

use super::{
    Fault, Format, Found, Message, Progress,
    decode::Decoder,
    envelope::{MessageCoding, PREFIX, prefix},
    splice::rewrite,
};

/// Bytes decoded at once.
const PIECE: usize = 16 * 1024;
/// Most bytes of a message that are kept until its name is found. They cannot be forwarded before,
/// because the length at the start of the message changes with the name.
const KEPT: usize = 1024 * 1024;
/// The longest compressed message in which a name is replaced, in decoded bytes. It is buffered,
/// because it is forwarded uncompressed after its length. The value is the default limit of gRPC
/// servers.
const LONGEST_COMPRESSED: usize = 4 * 1024 * 1024;

/// Replaces the model's name in a body as it streams.
#[derive(Debug)]
pub enum Rewriter {
    /// An encoded body.
    Decoded(Decoded),
    /// The messages of a gRPC call.
    Messages(Messages),
}

/// An encoded body, which is forwarded decoded.
#[derive(Debug)]
pub struct Decoded {
    decoder: Decoder,
    /// Decoded bytes forwarded so far.
    at: usize,
    /// The byte range of the old name in the decoded body, and the new name.
    span: Range<usize>,
    new: Option<Bytes>,
    ended: bool,
}

/// The messages of a gRPC call, each of which names the model.
#[derive(Debug)]
pub struct Messages {
    /// The number of the field with the name.
    field: u32,
    /// Names of the model that are replaced.
    known: Vec<String>,
    new: String,
    /// The coding of compressed messages.
    coding: Option<MessageCoding>,
    state: State,
    input: Bytes,
    out: VecDeque<Bytes>,
    /// What was wrong with the messages. Nothing comes out any more then.
    fault: Option<Fault>,
}

#[derive(Debug)]
enum State {
    /// Within a message's prefix; its bytes so far.
    Prefix(BytesMut),
    /// Before the name: the bytes so far, with the prefix, and how many are missing of the message.
    Head {
        scanner: Message,
        kept: VecDeque<Bytes>,
        read: usize,
        left: usize,
    },
    /// Within a compressed message: its decoded content so far, and how many encoded bytes are
    /// missing.
    Compressed {
        decoder: Box<Decoder>,
        content: Vec<u8>,
        left: usize,
    },
    /// After the name: how many bytes are missing, and the scanner that refuses a second name.
    Rest(usize, Option<Message>),
}

// === impl Rewriter ===

impl Rewriter {
    /// For a body that `decoder` decodes, in which `found` is the old name.
    #[must_use]
    pub fn decoded(decoder: Decoder, format: Format, found: &Found, name: &str) -> Self {
        Self::Decoded(Decoded {
            decoder,
            at: 0,
            span: found.span.clone(),
            new: Some(format.write(name).into()),
            ended: false,
        })
    }

    /// For messages with their name in `field`: each of `known` is replaced by `new`. Messages
    /// compressed by `coding` are forwarded uncompressed.
    #[must_use]
    pub fn messages(
        field: u32,
        known: Vec<String>,
        new: &str,
        coding: Option<MessageCoding>,
    ) -> Self {
        Self::Messages(Messages {
            field,
            known,
            new: new.to_owned(),
            coding,
            state: State::Prefix(BytesMut::new()),
            input: Bytes::new(),
            out: VecDeque::new(),
            fault: None,
        })
    }

    /// Puts in the next piece. The previous one must be used up: [`pull`](Self::pull) has returned
    /// `None`.
    pub fn push(&mut self, piece: Bytes) {
        match self {
            Self::Decoded(body) => body.decoder.push(piece),
            Self::Messages(messages) => messages.input = piece,
        }
    }

    /// The next piece of the new body; `None` if more of the old body is needed.
    ///
    /// # Errors
    /// If the body is malformed.
    pub fn pull(&mut self) -> Result<Option<Bytes>, Fault> {
        match self {
            Self::Decoded(body) => body.next(Decoder::pull),
            Self::Messages(messages) => messages.pull(),
        }
    }

    /// The next piece of the new body after the end of the old one.
    ///
    /// # Errors
    /// As [`pull`](Self::pull), and if the body is incomplete.
    pub fn finish(&mut self) -> Result<Option<Bytes>, Fault> {
        match self {
            Self::Decoded(body) => {
                let piece = body.next(Decoder::finish)?;
                body.ended = piece.is_none();
                Ok(piece)
            }
            Self::Messages(messages) => match messages.is_between() {
                true => Ok(None),
                false => Err(Fault::NotMessage),
            },
        }
    }

    /// Whether everything put in has come out.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self {
            Self::Decoded(body) => body.ended,
            Self::Messages(messages) => messages.is_between(),
        }
    }
}

// === impl Decoded ===

impl Decoded {
    fn next(
        &mut self,
        decode: impl Fn(&mut Decoder, &mut [u8]) -> Result<usize, Fault>,
    ) -> Result<Option<Bytes>, Fault> {
        let mut piece = BytesMut::zeroed(PIECE);
        let length = decode(&mut self.decoder, &mut piece)?;
        if length == 0 {
            return Ok(None);
        }
        piece.truncate(length);
        let (start, end) = (self.at, self.at + length);
        self.at = end;
        if end <= self.span.start || self.span.end <= start {
            return Ok(Some(piece.freeze()));
        }
        let before = self.span.start.clamp(start, end) - start;
        let after = self.span.end.clamp(start, end) - start;
        let new = self.new.take().unwrap_or_default();
        let whole = [&piece[..before], &new, &piece[after..]].concat();
        if whole.is_empty() {
            // The piece was only a part of the old name: take the next one.
            return self.next(decode);
        }
        Ok(Some(whole.into()))
    }
}

// === impl Messages ===

impl Messages {
    fn is_between(&self) -> bool {
        let between = matches!(&self.state, State::Prefix(read) if read.is_empty());
        between && self.input.is_empty() && self.out.is_empty()
    }

    fn pull(&mut self) -> Result<Option<Bytes>, Fault> {
        while self.fault.is_none() {
            if let Some(piece) = self.out.pop_front() {
                return Ok(Some(piece));
            }
            if self.input.is_empty() {
                return Ok(None);
            }
            self.fault = self.step().err();
        }
        self.fault.map_or(Ok(None), Err)
    }

    /// Processes some of the input.
    fn step(&mut self) -> Result<(), Fault> {
        match &mut self.state {
            State::Prefix(read) => {
                let piece = take(&mut self.input, PREFIX - read.len());
                read.extend_from_slice(&piece);
                match prefix(read)? {
                    None => {}
                    Some((false, left)) => {
                        let prefix = std::mem::take(read).freeze();
                        self.begin(prefix, left);
                    }
                    Some((true, left)) => {
                        let coding = self.coding.ok_or(Fault::Compressed)?;
                        self.state = State::Compressed {
                            decoder: Box::new(coding.decoder()?),
                            content: Vec::new(),
                            left,
                        };
                    }
                }
            }
            State::Compressed {
                decoder,
                content,
                left,
            } => {
                let piece = take(&mut self.input, *left);
                *left -= piece.len();
                decoder.push(piece);
                decode(decoder, content, Decoder::pull)?;
                if *left == 0 {
                    decode(decoder, content, Decoder::finish)?;
                    let content = std::mem::take(content);
                    self.begin_decoded(content)?;
                }
            }
            State::Head { left, .. } => {
                let piece = take(&mut self.input, *left);
                *left -= piece.len();
                self.look_for_name(piece)?;
            }
            State::Rest(left, scanner) => {
                let piece = take(&mut self.input, *left);
                *left -= piece.len();
                if let Some(scanner) = scanner
                    && let Progress::Not(fault) = scanner.feed(&piece)
                {
                    return Err(fault);
                }
                if *left == 0 {
                    self.state = State::Prefix(BytesMut::new());
                }
                self.out.push_back(piece);
            }
        }
        Ok(())
    }

    /// Starts a message of `left` bytes.
    fn begin(&mut self, prefix: Bytes, left: usize) {
        if left == 0 {
            self.out.push_back(prefix);
            return;
        }
        let mut scanner = Message::new(self.field);
        // Cannot end the scan: it is a prefix with flag 0, of a message that is not empty.
        let _ = scanner.feed(&prefix);
        self.state = State::Head {
            scanner,
            read: PREFIX,
            kept: [prefix].into(),
            left,
        };
    }

    /// Starts a message that was decompressed to `content`.
    fn begin_decoded(&mut self, content: Vec<u8>) -> Result<(), Fault> {
        let length = u32::try_from(content.len()).map_err(|_| Fault::CompressedTooLong)?;
        let mut prefix = BytesMut::zeroed(1);
        prefix.extend_from_slice(&length.to_be_bytes());
        self.state = State::Prefix(BytesMut::new());
        self.begin(prefix.freeze(), content.len());
        if let State::Head { left, .. } = &mut self.state {
            *left = 0;
            self.look_for_name(content.into())?;
        }
        Ok(())
    }

    /// Scans the next piece of a message for its name.
    fn look_for_name(&mut self, piece: Bytes) -> Result<(), Fault> {
        let State::Head {
            scanner,
            kept,
            read,
            left,
        } = &mut self.state
        else {
            return Ok(());
        };
        let before = *read;
        *read += piece.len();
        let progress = scanner.feed(&piece);
        kept.push_back(piece.clone());
        let scanner = match progress {
            Progress::More if *read > KEPT => return Err(Fault::NameTooLate),
            Progress::More => return Ok(()),
            // A message without a name is left to the replica.
            Progress::Not(Fault::AbsentInMessage) => None,
            Progress::Not(fault) => return Err(fault),
            Progress::Found(found) => {
                if !self.known.contains(&found.name) {
                    return Err(Fault::OtherModel);
                }
                if let Progress::Not(fault) = scanner.feed(&piece[found.span.end - before..]) {
                    return Err(fault);
                }
                rewrite(kept, Format::Message(self.field), &found, &self.new);
                Some(std::mem::replace(scanner, Message::new(self.field)))
            }
        };
        self.out.append(kept);
        self.state = match *left {
            0 => State::Prefix(BytesMut::new()),
            left => State::Rest(left, scanner),
        };
        Ok(())
    }
}

/// Decodes everything that was put in.
fn decode(
    decoder: &mut Decoder,
    content: &mut Vec<u8>,
    step: impl Fn(&mut Decoder, &mut [u8]) -> Result<usize, Fault>,
) -> Result<(), Fault> {
    loop {
        let before = content.len();
        content.resize(before + PIECE, 0);
        let length = step(decoder, &mut content[before..])?;
        content.truncate(before + length);
        if content.len() > LONGEST_COMPRESSED {
            return Err(Fault::CompressedTooLong);
        }
        if length == 0 {
            return Ok(());
        }
    }
}

/// Splits off the first bytes of `input`, at most `most`.
fn take(input: &mut Bytes, most: usize) -> Bytes {
    input.split_to(most.min(input.len()))
}

#[cfg(test)]
mod tests;

//! Decodes the content coding of a request's body (RFC 9110, 8.4.1) while it streams, so that it
//! can be scanned. Decoded bytes go through a buffer of fixed size, and decoding stops with an
//! error if the body grows too much: see [`RATIO`].

use std::{
    fmt,
    io::{self, BufRead, Read},
};

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::{Buf, Bytes};
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::header::CONTENT_ENCODING;
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::Fault;
use crate::message::HeaderMap;

/// How many times longer a body may become by decoding, beyond the first [`FREE`] bytes. Text grows
/// 3 to 20 times; Apache's limit is also 200 (`DeflateInflateRatioLimit`). Deflate can reach 1,032.
pub const RATIO: u64 = 200;
/// Decoded bytes exempt from [`RATIO`]: a short body may well repeat one letter.
pub const FREE: u64 = 8 * 1024 * 1024;
/// The largest window that RFC 9659 allows for `zstd`, as a power of two: 8 MiB.
const ZSTD_WINDOW: u32 = 23;
/// Memory of an inflater in bytes: a window of 32 KiB, and tables.
const INFLATER: usize = 64 * 1024;

/// Decodes one content coding. Put pieces in with [`push`](Self::push), and take decoded bytes out
/// with [`pull`](Self::pull).
pub struct Decoder {
    coding: ContentCoding,
    /// Bytes put in, and bytes taken out.
    encoded: u64,
    decoded: u64,
}

enum ContentCoding {
    Gzip(Box<MultiGzDecoder<Input>>),
    /// `deflate` as RFC 9110 defines it: in the zlib format.
    Zlib(Box<ZlibDecoder<Input>>),
    /// `deflate` as some clients send it: without the zlib format.
    Deflate(Box<DeflateDecoder<Input>>),
    /// `deflate` before its first byte, which tells the two apart.
    ZlibOrDeflate,
    Brotli(Box<Brotli>),
    Zstd(Zstd),
}

struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    input: Bytes,
    ended: bool,
}

struct Zstd {
    context: DCtx<'static>,
    input: Bytes,
    /// Whether the last frame has ended.
    ended: bool,
}

/// Bytes that were put in and not decoded yet.
#[derive(Debug, Default)]
struct Input {
    bytes: Bytes,
    /// Whether the body has ended.
    last: bool,
}

// === impl Decoder ===

impl Decoder {
    /// The decoder for a body with these header fields; `None` if it is not encoded.
    ///
    /// # Errors
    /// If the coding is unknown, or there are several.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, Fault> {
        if !headers.contains_key(CONTENT_ENCODING) {
            return Ok(None);
        }
        let mut found = None;
        for value in headers.get_all(CONTENT_ENCODING) {
            let names = value.to_str().map_err(|_| Fault::UnknownCoding)?;
            for name in names.split(',').map(str::trim) {
                if name.is_empty() || name.eq_ignore_ascii_case("identity") {
                    continue;
                }
                if found.replace(Self::named(name)?).is_some() {
                    return Err(Fault::UnknownCoding);
                }
            }
        }
        Ok(found)
    }

    /// The decoder for the coding of this name.
    ///
    /// # Errors
    /// If the coding is unknown.
    pub fn named(name: &str) -> Result<Self, Fault> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let coding = if is("gzip") || is("x-gzip") {
            ContentCoding::Gzip(Box::new(MultiGzDecoder::new(Input::default())))
        } else if is("deflate") {
            ContentCoding::ZlibOrDeflate
        } else if is("br") {
            let heap = StandardAlloc::default;
            ContentCoding::Brotli(Box::new(Brotli {
                // Windows of at most 16 MiB, without the "large window" extension.
                state: BrotliState::new_strict(heap(), heap(), heap()),
                input: Bytes::new(),
                ended: false,
            }))
        } else if is("zstd") {
            let mut context = DCtx::try_create().ok_or(Fault::NotDecodable)?;
            context
                .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW))
                .map_err(|_| Fault::NotDecodable)?;
            ContentCoding::Zstd(Zstd {
                context,
                input: Bytes::new(),
                ended: false,
            })
        } else {
            return Err(Fault::UnknownCoding);
        };
        Ok(Self {
            coding,
            encoded: 0,
            decoded: 0,
        })
    }

    /// Puts in the next piece of the body. The previous one must be decoded completely:
    /// [`pull`](Self::pull) has returned 0.
    pub fn push(&mut self, piece: Bytes) {
        self.encoded += piece.len() as u64;
        if let (ContentCoding::ZlibOrDeflate, Some(&first)) = (&self.coding, piece.first()) {
            // RFC 1950, 2.2: in the zlib format, the method is 8 and the window at most 32 KiB. In
            // raw deflate, such a byte would start a stored block with a non-zero padding bit,
            // which encoders do not write.
            self.coding = if first & 0x0f == 8 && first >> 4 <= 7 {
                ContentCoding::Zlib(Box::new(ZlibDecoder::new(Input::default())))
            } else {
                ContentCoding::Deflate(Box::new(DeflateDecoder::new(Input::default())))
            };
        }
        match &mut self.coding {
            ContentCoding::Gzip(gzip) => gzip.get_mut().bytes = piece,
            ContentCoding::Zlib(zlib) => zlib.get_mut().bytes = piece,
            ContentCoding::Deflate(deflate) => deflate.get_mut().bytes = piece,
            ContentCoding::ZlibOrDeflate => {}
            ContentCoding::Brotli(brotli) => brotli.input = piece,
            ContentCoding::Zstd(zstd) => zstd.input = piece,
        }
    }

    /// Decodes into `out`, which must not be empty. Returns the number of bytes; 0 if everything
    /// put in was decoded.
    ///
    /// # Errors
    /// If the bytes do not match the coding, or the body becomes too long.
    pub fn pull(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        let length = match &mut self.coding {
            ContentCoding::Gzip(gzip) => read(gzip, out)?,
            ContentCoding::Zlib(zlib) => {
                let length = read(zlib, out)?;
                nothing_behind(length, &zlib.get_ref().bytes)?
            }
            ContentCoding::Deflate(deflate) => {
                let length = read(deflate, out)?;
                nothing_behind(length, &deflate.get_ref().bytes)?
            }
            ContentCoding::ZlibOrDeflate => 0,
            ContentCoding::Brotli(brotli) => brotli.pull(out)?,
            ContentCoding::Zstd(zstd) => zstd.pull(out)?,
        };
        self.decoded += length as u64;
        if self.decoded > FREE + RATIO * self.encoded {
            return Err(Fault::Bomb);
        }
        Ok(length)
    }

    /// Decodes the rest after the end of the body, as [`pull`](Self::pull) does; 0 if the body was
    /// complete.
    ///
    /// # Errors
    /// As [`pull`](Self::pull), and if the body is incomplete.
    pub fn finish(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        match &mut self.coding {
            ContentCoding::Gzip(gzip) => gzip.get_mut().last = true,
            ContentCoding::Zlib(zlib) => zlib.get_mut().last = true,
            ContentCoding::Deflate(deflate) => deflate.get_mut().last = true,
            ContentCoding::ZlibOrDeflate => return Err(Fault::NotDecodable),
            ContentCoding::Brotli(_) | ContentCoding::Zstd(_) => {}
        }
        let length = self.pull(out)?;
        let ended = match &self.coding {
            ContentCoding::Brotli(brotli) => brotli.ended,
            ContentCoding::Zstd(zstd) => zstd.ended,
            // These decoders report an incomplete body as an error.
            _ => true,
        };
        if length == 0 && !ended {
            return Err(Fault::NotDecodable);
        }
        Ok(length)
    }

    /// Bytes of memory in use, approximately.
    #[must_use]
    pub fn memory(&self) -> usize {
        match &self.coding {
            ContentCoding::Gzip(_) | ContentCoding::Zlib(_) | ContentCoding::Deflate(_) => INFLATER,
            ContentCoding::ZlibOrDeflate => 0,
            ContentCoding::Brotli(brotli) => {
                INFLATER + usize::try_from(brotli.state.ringbuffer_size).unwrap_or(0)
            }
            ContentCoding::Zstd(zstd) => zstd.context.sizeof(),
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let coding = match &self.coding {
            ContentCoding::Gzip(_) => "gzip",
            ContentCoding::Zlib(_) | ContentCoding::Deflate(_) | ContentCoding::ZlibOrDeflate => {
                "deflate"
            }
            ContentCoding::Brotli(_) => "br",
            ContentCoding::Zstd(_) => "zstd",
        };
        f.debug_struct("Decoder")
            .field("coding", &coding)
            .field("encoded", &self.encoded)
            .field("decoded", &self.decoded)
            .finish()
    }
}

fn read(decoder: &mut impl Read, out: &mut [u8]) -> Result<usize, Fault> {
    match decoder.read(out) {
        Ok(length) => Ok(length),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        Err(_) => Err(Fault::NotDecodable),
    }
}

/// Returns `length`, or an error if the stream has ended and bytes follow it.
fn nothing_behind(length: usize, rest: &Bytes) -> Result<usize, Fault> {
    if length == 0 && !rest.is_empty() {
        return Err(Fault::NotDecodable);
    }
    Ok(length)
}

// === impl Brotli ===

impl Brotli {
    fn pull(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        if self.ended {
            return nothing_behind(0, &self.input);
        }
        let (mut taken, mut given, mut total) = (0, 0, 0);
        let result = BrotliDecompressStream(
            &mut self.input.len(),
            &mut taken,
            &self.input,
            &mut out.len(),
            &mut given,
            out,
            &mut total,
            &mut self.state,
        );
        self.input.advance(taken);
        match result {
            BrotliResult::ResultFailure => return Err(Fault::NotDecodable),
            BrotliResult::ResultSuccess => self.ended = true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        if self.ended && given == 0 {
            return nothing_behind(0, &self.input);
        }
        Ok(given)
    }
}

// === impl Zstd ===

impl Zstd {
    fn pull(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        loop {
            if self.ended && self.input.is_empty() {
                return Ok(0);
            }
            let mut output = OutBuffer::around(&mut *out);
            let mut input = InBuffer::around(&self.input);
            let left = self
                .context
                .decompress_stream(&mut output, &mut input)
                .map_err(|_| Fault::NotDecodable)?;
            let (taken, given) = (input.pos(), output.pos());
            self.input.advance(taken);
            self.ended = left == 0;
            // A frame may be empty or skippable.
            if given > 0 || self.input.is_empty() || taken == 0 {
                return Ok(given);
            }
        }
    }
}

// === impl Input ===

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.len().min(out.len());
        self.bytes.copy_to_slice(&mut out[..length]);
        Ok(length)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.bytes.is_empty() && !self.last {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(&self.bytes)
    }

    fn consume(&mut self, length: usize) {
        self.bytes.advance(length);
    }
}

#[cfg(test)]
mod tests;

//! Content codings of a request's body (RFC 9110, 8.4.1), undone as it streams, so
//! that it can be looked into. What is decoded goes through a buffer of fixed size,
//! and a body that grows beyond reason is not decoded to its end: see [`RATIO`].

use std::{
    fmt,
    io::{self, BufRead, Read},
};

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::{Buf, Bytes};
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header::CONTENT_ENCODING};
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::Fault;

/// A body may become so many times as long when it is decoded, beyond the first
/// [`FREE`] bytes. Text becomes 3 to 20 times as long; Apache's limit is 200, too
/// (`DeflateInflateRatioLimit`). Made to grow, deflate gives 1,032 bytes for one.
pub const RATIO: u64 = 200;
/// Decoded bytes that do not count for [`RATIO`]: a short body may be one letter
/// over and over.
pub const FREE: u64 = 8 * 1024 * 1024;
/// The largest window, as a power of two, that RFC 9659 lets `zstd` have: 8 MiB.
const ZSTD_WINDOW: u32 = 23;
/// What an inflater needs, in bytes: a window of 32 KiB, and tables.
const INFLATER: usize = 64 * 1024;

/// Undoes one content coding. Pieces of the body go in by [`push`](Self::push),
/// decoded ones come out by [`pull`](Self::pull).
pub struct Decoder {
    coding: Coding,
    /// Bytes that went in, and that came out.
    encoded: u64,
    decoded: u64,
}

enum Coding {
    Gzip(Box<MultiGzDecoder<Input>>),
    /// As RFC 9110 has it: within zlib's format.
    Zlib(Box<ZlibDecoder<Input>>),
    /// As some clients have it: bare.
    Deflate(Box<DeflateDecoder<Input>>),
    /// One of the two: the first byte tells.
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
    /// Between frames.
    ended: bool,
}

/// What was pushed and is yet to be decoded.
#[derive(Debug, Default)]
struct Input {
    bytes: Bytes,
    /// Nothing follows.
    last: bool,
}

// === impl Decoder ===

impl Decoder {
    /// For a body with these fields; `None` if it is not encoded.
    ///
    /// # Errors
    /// If its coding is not known, or it has several.
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

    /// For the coding of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn named(name: &str) -> Result<Self, Fault> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let coding = if is("gzip") || is("x-gzip") {
            Coding::Gzip(Box::new(MultiGzDecoder::new(Input::default())))
        } else if is("deflate") {
            Coding::ZlibOrDeflate
        } else if is("br") {
            let heap = StandardAlloc::default;
            Coding::Brotli(Box::new(Brotli {
                // Windows of 16 MiB at most: no "large window".
                state: BrotliState::new_strict(heap(), heap(), heap()),
                input: Bytes::new(),
                ended: false,
            }))
        } else if is("zstd") {
            let mut context = DCtx::try_create().ok_or(Fault::NotDecodable)?;
            context
                .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW))
                .map_err(|_| Fault::NotDecodable)?;
            Coding::Zstd(Zstd {
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

    /// Takes the next piece of the body. The one before must have been decoded:
    /// [`pull`](Self::pull) has returned 0.
    pub fn push(&mut self, piece: Bytes) {
        self.encoded += piece.len() as u64;
        if let (Coding::ZlibOrDeflate, Some(&first)) = (&self.coding, piece.first()) {
            // RFC 1950, 2.2: the method is 8, the window at most 32 KiB. Bare, that
            // would be a stored block with a bit set that is 0 in all of them.
            self.coding = if first & 0x0f == 8 && first >> 4 <= 7 {
                Coding::Zlib(Box::new(ZlibDecoder::new(Input::default())))
            } else {
                Coding::Deflate(Box::new(DeflateDecoder::new(Input::default())))
            };
        }
        match &mut self.coding {
            Coding::Gzip(gzip) => gzip.get_mut().bytes = piece,
            Coding::Zlib(zlib) => zlib.get_mut().bytes = piece,
            Coding::Deflate(deflate) => deflate.get_mut().bytes = piece,
            Coding::ZlibOrDeflate => {}
            Coding::Brotli(brotli) => brotli.input = piece,
            Coding::Zstd(zstd) => zstd.input = piece,
        }
    }

    /// Decodes into `out`, which must not be empty. Returns how many bytes; 0: all
    /// that was pushed has been decoded.
    ///
    /// # Errors
    /// If it is not what its coding says, or becomes too long.
    pub fn pull(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        let length = match &mut self.coding {
            Coding::Gzip(gzip) => read(gzip, out)?,
            Coding::Zlib(zlib) => {
                let length = read(zlib, out)?;
                nothing_behind(length, &zlib.get_ref().bytes)?
            }
            Coding::Deflate(deflate) => {
                let length = read(deflate, out)?;
                nothing_behind(length, &deflate.get_ref().bytes)?
            }
            Coding::ZlibOrDeflate => 0,
            Coding::Brotli(brotli) => brotli.pull(out)?,
            Coding::Zstd(zstd) => zstd.pull(out)?,
        };
        self.decoded += length as u64;
        if self.decoded > FREE + RATIO * self.encoded {
            return Err(Fault::Bomb);
        }
        Ok(length)
    }

    /// The body has ended: decodes what is left, as [`pull`](Self::pull) does; 0: it
    /// was whole.
    ///
    /// # Errors
    /// As [`pull`](Self::pull); also if it was not whole.
    pub fn finish(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        match &mut self.coding {
            Coding::Gzip(gzip) => gzip.get_mut().last = true,
            Coding::Zlib(zlib) => zlib.get_mut().last = true,
            Coding::Deflate(deflate) => deflate.get_mut().last = true,
            Coding::ZlibOrDeflate => return Err(Fault::NotDecodable),
            Coding::Brotli(_) | Coding::Zstd(_) => {}
        }
        let length = self.pull(out)?;
        let ended = match &self.coding {
            Coding::Brotli(brotli) => brotli.ended,
            Coding::Zstd(zstd) => zstd.ended,
            // They have said so.
            _ => true,
        };
        if length == 0 && !ended {
            return Err(Fault::NotDecodable);
        }
        Ok(length)
    }

    /// Bytes of memory that it takes, about.
    #[must_use]
    pub fn memory(&self) -> usize {
        match &self.coding {
            Coding::Gzip(_) | Coding::Zlib(_) | Coding::Deflate(_) => INFLATER,
            Coding::ZlibOrDeflate => 0,
            Coding::Brotli(brotli) => {
                INFLATER + usize::try_from(brotli.state.ringbuffer_size).unwrap_or(0)
            }
            Coding::Zstd(zstd) => zstd.context.sizeof(),
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let coding = match &self.coding {
            Coding::Gzip(_) => "gzip",
            Coding::Zlib(_) | Coding::Deflate(_) | Coding::ZlibOrDeflate => "deflate",
            Coding::Brotli(_) => "br",
            Coding::Zstd(_) => "zstd",
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

/// `length`, unless that is the end and more follows it.
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
            // A frame may be empty, or meant to be skipped.
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

//! The compression of headers (HPACK, RFC 7541).

mod decoder;
mod dynamic_table;
mod encoder;
mod field;
mod huffman;
mod huffman_table;
mod integer;
mod policy;
mod sent;
mod static_table;
mod strings;
#[cfg(test)]
mod tests;

pub use decoder::{DecodedBlock, HeaderDecoder};
pub use encoder::HeaderEncoder;
pub use field::Field;

/// A block cannot be decoded. The tables of both sides may differ from here on, so this ends the
/// connection: COMPRESSION_ERROR (RFC 9113, 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressionError;

//! Scans a request's body for the model that it names. What was read stays part of the body, and is
//! forwarded unchanged. The scanners are pure: pieces in, [`Progress`] out, however the body is
//! cut.

mod decode;
mod disposition;
mod envelope;
mod json;
mod members;
mod message;
mod multipart;
mod rewriter;
mod scan;
mod splice;
mod usage_request;

use std::ops::Range;

pub use self::{
    decode::Decoder,
    disposition::has_other_charset,
    envelope::MessageCoding,
    json::Json,
    members::{Member, Members},
    message::Message,
    multipart::Multipart,
    rewriter::Rewriter,
    scan::{BodyScanner, Scan},
    splice::{insert, rewrite},
    usage_request::{Insertion, usage_request},
};

/// Most bytes of a model's name.
const LONGEST_NAME: usize = 1024;

/// A scanner for one place where a body names the model.
#[derive(Debug)]
pub enum Scanner {
    /// The member `model` of a JSON object.
    Json(Json),
    /// The part `model` of a form.
    Multipart(Multipart),
    /// A field of the first gRPC message.
    Message(Message),
}

/// How the model's name is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As a JSON string.
    Json,
    /// As it is.
    Multipart,
    /// With its length before it, in this field of a message that is itself preceded by its length.
    Message(u32),
}

/// The result of scanning a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not decided: more of the body is needed.
    More,
    /// The model was found.
    Found(Found),
    /// The body names no model, or breaks a rule.
    Not(Fault),
}

/// The model's name, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The decoded name.
    pub name: String,
    /// The byte range in the body of the name with its delimiters.
    pub span: Range<usize>,
}

/// Why a body is refused, or names no model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The body is not a JSON object.
    #[error(
        "the body must be a JSON object with the field \"model\", or the header seldon-model name the model"
    )]
    NotJson,
    /// The body is not a form.
    #[error(
        "the body must be multipart/form-data with the field \"model\", or the header seldon-model name the model"
    )]
    NotForm,
    /// The body is a form that servers could read in different ways.
    #[error(
        "the form can be read in more than one way: its lines must end in CR LF, and each part must have one Content-Disposition, on one line, with one plain name"
    )]
    AmbiguousForm,
    /// The body is not in UTF-8.
    #[error(
        "the body must be in UTF-8, without a byte order mark, and its Content-Type say nothing else"
    )]
    NotUtf8,
    /// The body is not a gRPC message.
    #[error("the message is not well-formed")]
    NotMessage,
    /// The body names no model.
    #[error("the body names no model: set the field \"model\", or the header seldon-model")]
    Absent,
    /// The message names no model.
    #[error("the message names no model: set its model_name, or the metadata seldon-model")]
    AbsentInMessage,
    /// The body names a model more than once.
    #[error("the field \"model\" is there twice in the body: it must be there once")]
    Twice,
    /// A message names a model more than once.
    #[error("the message names its model twice: it must do so once")]
    TwiceInMessage,
    /// The model's name is not a string.
    #[error("the field \"model\" must be a string")]
    NotText,
    /// The model's name is too long.
    #[error("the model's name is longer than 1024 bytes")]
    TooLong,
    /// The message is compressed by an unknown coding.
    #[error(
        "the model cannot be read from, or replaced in, a message compressed by another grpc-encoding than gzip or deflate: name it in the metadata seldon-model, or send the message uncompressed"
    )]
    Compressed,
    /// The message is too long, decoded, to replace the name in it.
    #[error(
        "the model's name cannot be replaced in a compressed message of more than 4 MiB: send the message uncompressed"
    )]
    CompressedTooLong,
    /// A later message of the call names another model.
    #[error(
        "the message names another model than the metadata seldon-model or the first message of its stream: open one stream per model"
    )]
    OtherModel,
    /// The name in a later message of the call is too far from its start.
    #[error("the message has no model_name within its first 1 MiB, where it could be replaced")]
    NameTooLate,
    /// The content coding is unknown, or there are several.
    #[error(
        "the body's Content-Encoding must be one of gzip, deflate, br and zstd, or the header seldon-model name the model"
    )]
    UnknownCoding,
    /// The body does not match its coding.
    #[error("the body does not match its Content-Encoding or grpc-encoding, or is cut short")]
    NotDecodable,
    /// The body becomes too long when it is decoded.
    #[error(
        "the body becomes more than 200 times as long when it is decoded: send it without Content-Encoding, or name the model in the header seldon-model"
    )]
    Bomb,
    /// The name is too far from the start of the body.
    #[error(
        "no model is named in the first {0} bytes of the body, and no more is kept (TAILBACK_HOLD_MAX_BYTES): name it in the header seldon-model, or put the field \"model\" first"
    )]
    TooFar(usize),
}

impl Fault {
    /// Whether the body surely names no model to a replica.
    #[must_use]
    pub fn is_absence(self) -> bool {
        matches!(self, Self::Absent | Self::AbsentInMessage | Self::NotJson)
    }

    /// Whether the body may name a model to a replica although the proxy found none.
    #[must_use]
    pub fn hides_a_name(self) -> bool {
        matches!(
            self,
            Self::Twice
                | Self::TwiceInMessage
                | Self::AmbiguousForm
                | Self::NotUtf8
                | Self::Compressed
                | Self::CompressedTooLong
                | Self::UnknownCoding
                | Self::NotDecodable
                | Self::Bomb
        )
    }
}

impl Scanner {
    /// The encoding that it reads.
    #[must_use]
    pub fn format(&self) -> Format {
        match self {
            Self::Json(_) => Format::Json,
            Self::Multipart(_) => Format::Multipart,
            Self::Message(message) => Format::Message(message.field()),
        }
    }

    /// Scans the next piece of the body.
    pub fn feed(&mut self, piece: &[u8]) -> Progress {
        match self {
            Self::Json(json) => json.feed(piece),
            Self::Multipart(multipart) => multipart.feed(piece),
            Self::Message(message) => message.feed(piece),
        }
    }

    /// What is wrong if the body ends here.
    #[must_use]
    pub fn at_end(&self) -> Fault {
        match self {
            Self::Json(_) => Fault::NotJson,
            Self::Multipart(_) => Fault::NotForm,
            Self::Message(_) => Fault::NotMessage,
        }
    }
}

//! Looks into a request's body for the model it names. What is read stays reservation
//! of the body and goes on as it came. The scanners are pure: pieces in, one of
//! [`Progress`] out, however the body is cut.

mod decode;
mod envelope;
mod json;
mod message;
mod multipart;
mod rewriter;
mod scan;
mod splice;

use std::ops::Range;

pub use self::{
    decode::Decoder,
    envelope::MessageCoding,
    json::Json,
    message::Message,
    multipart::Multipart,
    rewriter::Rewriter,
    scan::{BodyScanner, Scan},
    splice::rewrite,
};

/// Names longer than this are no model's.
const LONGEST_NAME: usize = 1024;

/// Where in a body the model is named.
#[derive(Debug)]
pub enum Scanner {
    /// In the member `model` of a JSON object.
    Json(Json),
    /// In the reservation `model` of a form.
    Multipart(Multipart),
    /// In a field of the first gRPC message.
    Message(Message),
}

/// How the model is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As a text of JSON.
    Json,
    /// As it is.
    Multipart,
    /// After its length, in this field of a message that has a length, too.
    Message(u32),
}

/// What a scanner knows so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It needs more of the body.
    More,
    /// The model.
    Found(Found),
    /// There is none to be found.
    Not(Fault),
}

/// The model, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// The bytes of the body that say so, with what delimits them.
    pub span: Range<usize>,
}

/// Why a body names no model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not a JSON object.
    #[error(
        "the body must be a JSON object with the field \"model\", or the header seldon-model name the model"
    )]
    NotJson,
    /// It is not a form.
    #[error(
        "the body must be multipart/form-data with the field \"model\", or the header seldon-model name the model"
    )]
    NotForm,
    /// It is not a gRPC message.
    #[error("the message is not well-formed")]
    NotMessage,
    /// It ended without.
    #[error("the body names no model: set the field \"model\", or the header seldon-model")]
    Absent,
    /// The message has none.
    #[error("the message names no model: set its model_name, or the metadata seldon-model")]
    AbsentInMessage,
    /// There is more than one.
    #[error("the field \"model\" is there twice in the body: it must be there once")]
    Twice,
    /// A message has more than one.
    #[error("the message names its model twice: it must do so once")]
    TwiceInMessage,
    /// It is no string.
    #[error("the field \"model\" must be a string")]
    NotText,
    /// Its name is too long for any.
    #[error("the model's name is longer than 1024 bytes")]
    TooLong,
    /// A message is compressed.
    #[error(
        "the model cannot be read from, or written into, a message that is compressed in another way than the grpc-encoding gzip or deflate: name it in the metadata seldon-model, or send the message as it is"
    )]
    Compressed,
    /// A compressed message is too long to replace the name in it.
    #[error(
        "the model's name cannot be replaced in a compressed message of more than 4 MiB: send the message as it is"
    )]
    CompressedTooLong,
    /// A later message of a call names another model.
    #[error(
        "the message is for another model than the first of its stream: open a stream for each"
    )]
    OtherModel,
    /// A later message of a call has its name far behind.
    #[error("the message has no model_name within its first 1 MiB, where it could be replaced")]
    NameTooLate,
    /// Its coding is none that can be undone, or there are several.
    #[error(
        "the body's Content-Encoding must be one of gzip, deflate, br and zstd, or the header seldon-model name the model"
    )]
    UnknownCoding,
    /// It is not what its coding says.
    #[error("the body is not what its Content-Encoding or grpc-encoding says, or is cut short")]
    NotDecodable,
    /// It becomes too long when it is decoded.
    #[error(
        "the body becomes more than 200 times as long when it is decoded: send it as it is, or name the model in the header seldon-model"
    )]
    Bomb,
    /// It is not named early enough.
    #[error(
        "no model is named in the first {0} bytes of the body, and no more is kept (TAILBACK_HOLD_MAX_BYTES): name it in the header seldon-model, or put the field \"model\" first"
    )]
    TooFar(usize),
}

impl Fault {
    /// Whether the body may name a model to a replica all the same.
    #[must_use]
    pub fn hides_a_name(self) -> bool {
        matches!(
            self,
            Self::Twice
                | Self::TwiceInMessage
                | Self::Compressed
                | Self::CompressedTooLong
                | Self::UnknownCoding
                | Self::NotDecodable
                | Self::Bomb
        )
    }
}

impl Scanner {
    /// What it reads.
    #[must_use]
    pub fn format(&self) -> Format {
        match self {
            Self::Json(_) => Format::Json,
            Self::Multipart(_) => Format::Multipart,
            Self::Message(message) => Format::Message(message.field()),
        }
    }

    /// Takes the next piece of the body.
    pub fn feed(&mut self, piece: &[u8]) -> Progress {
        match self {
            Self::Json(json) => json.feed(piece),
            Self::Multipart(multipart) => multipart.feed(piece),
            Self::Message(message) => message.feed(piece),
        }
    }

    /// What is missing if the body ends here.
    #[must_use]
    pub fn at_end(&self) -> Fault {
        match self {
            Self::Json(_) => Fault::NotJson,
            Self::Multipart(_) => Fault::NotForm,
            Self::Message(_) => Fault::NotMessage,
        }
    }
}

//! Looks into a request's body for the model it names. What is read stays reservation
//! of the body and goes on as it came. The scanners are pure: pieces in, one of
//! [`Progress`] out, however the body is cut.

mod json;
mod message;
mod multipart;
mod splice;

use std::ops::Range;

pub use self::{json::Json, message::Message, multipart::Multipart, splice::rewrite};

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
    /// After its length, in a message that has one, too.
    Message,
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
    /// It is compressed.
    #[error(
        "the model cannot be read from a compressed body: name it in the header (gRPC: metadata) seldon-model"
    )]
    Compressed,
    /// It is not named early enough.
    #[error(
        "no model is named in the first {0} bytes of the body: name it in the header seldon-model"
    )]
    TooFar(usize),
}

impl Scanner {
    /// What it reads.
    #[must_use]
    pub fn format(&self) -> Format {
        match self {
            Self::Json(_) => Format::Json,
            Self::Multipart(_) => Format::Multipart,
            Self::Message(_) => Format::Message,
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

    /// Goes on behind `found`, which was in `piece`, of which it took `taken`;
    /// `before`: bytes of the body before `piece`.
    pub fn go_on(&mut self, piece: &[u8], taken: usize, before: usize, found: &Found) -> Progress {
        match self {
            // They stop at what they have found, which ends in the last piece.
            Self::Json(_) | Self::Message(_) => self.feed(&piece[found.span.end - before..]),
            // It has seen the delimiter, and keeps what is behind it.
            Self::Multipart(form) => form.feed(&piece[taken..]),
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

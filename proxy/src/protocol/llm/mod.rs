//! What the responses of language models reveal about tokens, in the APIs that generate text: when
//! they come, how many there are, and why they end. Pure; the result does not depend on how the
//! response is cut into pieces.

mod api;
mod last_event;
mod signals;

pub use self::{api::LlmApi, signals::SignalScanner};

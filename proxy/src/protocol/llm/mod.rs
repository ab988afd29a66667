//! What answers of language models say of tokens, in the APIs that generate text: when they come,
//! how many there are, why they end. Pure: pieces in, however the answer is cut.

mod api;
mod last_event;
mod signals;

pub use self::{api::LlmApi, signals::SignalScanner};

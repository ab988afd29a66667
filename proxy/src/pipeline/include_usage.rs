//! Asks a replica to report `usage` in a stream where the caller does not ask, if the model's
//! `includeUsage` is set.

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};

use super::{read_model::BodyReader, rename::lengthen};
use crate::{
    exchange::body::LookError,
    message::{HeaderMap, RequestParts},
    protocol::{
        ProxyError,
        llm::LlmApi,
        peek::{self, Insertion, usage_request},
    },
};

/// The longest body that is buffered for this.
const LONGEST: usize = 8 * 1024 * 1024;

/// Whether the request may need it. A compressed body is forwarded unchanged.
pub(super) fn applies(
    model: &tailback_config::Model,
    api: Option<LlmApi>,
    headers: &HeaderMap,
) -> bool {
    model.include_usage.value
        && api.is_some_and(LlmApi::has_stream_options)
        && !headers.contains_key(CONTENT_ENCODING)
}

/// Reads the body and, if it asks for a stream without usage, adds the option. A body that is too
/// long, or exceeds the buffer budget, is forwarded unchanged.
pub(super) async fn ask(
    head: &mut RequestParts,
    reader: &mut BodyReader<'_, '_>,
) -> Result<(), ProxyError> {
    let length = head.headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > LONGEST as u64) {
        return Ok(());
    }
    while !reader.body.has_ended() {
        if reader.body.buffered() > LONGEST {
            return Ok(());
        }
        match reader.next().await {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(LookError::NoRoom(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    if reader.body.buffered() > LONGEST {
        return Ok(());
    }
    let whole = reader.body.start(LONGEST);
    if let Some(Insertion { at, text }) = usage_request(&whole) {
        reader.body.edit(|read| peek::insert(read, at, text));
        lengthen(&mut head.headers, text.len() as i64);
    }
    Ok(())
}

//! Asks a replica for the `usage` of a stream where the caller does not, if the model's `includeUsage`
//! says so.

use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
    request::Parts,
};

use super::{read_model::BodyReader, rename::lengthen};
use crate::{
    exchange::body::LookError,
    protocol::{
        ProxyError,
        llm::LlmApi,
        peek::{self, Insertion, usage_request},
    },
};

/// The longest body that is read and copied for this.
const LONGEST: usize = 8 * 1024 * 1024;

/// Whether the request may be one that has to ask. What is encoded is forwarded as it came.
pub(super) fn applies(
    model: &tailback_config::Model,
    api: Option<LlmApi>,
    headers: &HeaderMap,
) -> bool {
    model.include_usage.value
        && api.is_some_and(LlmApi::has_stream_options)
        && !headers.contains_key(CONTENT_ENCODING)
}

/// Reads the body and, if it asks for a stream without its usage, adds that. A body that is too long,
/// or that there is no room for, is forwarded as it came.
pub(super) async fn ask(
    head: &mut Parts,
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

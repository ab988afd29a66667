//! Requests about responses that a replica stores (OpenAI's Responses API): which replica a
//! request must go to, and which replica stores its own response.

use std::{borrow::Cow, fmt, rc::Rc, sync::Arc};

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use tailback_scaler::replica::ReplicaId;

use super::{Pipeline, read_model::BodyReader};
use crate::{
    exchange::{StreamState, body::LookError},
    message::HeaderMap,
    models::{ModelRef, ResponseLocation, StoredResponses},
    protocol::{
        error::ProxyError,
        json_follower::Form,
        peek::{Decoder, Fault},
        response_id::ResponseId,
    },
    upstream::ReplicaRef,
};

/// Bytes decoded at once.
const BUFFER: usize = 16 * 1024;
/// Bytes decoded before other requests may proceed.
const SHARE: usize = 256 * 1024;

/// How a request relates to stored responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum StoredResponse {
    /// Not at all.
    #[default]
    None,
    /// It creates a response. If it follows on an earlier one, this replica stores that one, if
    /// known.
    Made(Option<ReplicaId>),
    /// It reads or changes a response, which this replica stores, if known.
    Kept(Option<ReplicaId>),
}

impl StoredResponse {
    /// The only replica that can answer; `None`: any can, or it is not known.
    pub(super) fn replica(self) -> Option<ReplicaId> {
        match self {
            Self::None => None,
            Self::Made(replica) | Self::Kept(replica) => replica,
        }
    }
}

/// The id in a path such as `/v1/responses/resp_1/cancel`.
pub(super) fn id_in_path(path: &str) -> Option<Cow<'_, str>> {
    let (_, rest) = path.split_once("/responses/")?;
    let id = rest.split('/').next().filter(|id| !id.is_empty())?;
    percent_decode_str(id).decode_utf8().ok()
}

/// The replica that stores the response on which a request for `model` follows. Reads the body
/// until it says so. A body that does not say so, or exceeds the buffer budget, follows on none.
pub(super) async fn followed(
    pipeline: &Pipeline,
    model: &ModelRef,
    headers: &HeaderMap,
    reader: &mut BodyReader<'_, '_>,
) -> Result<Option<ReplicaId>, ProxyError> {
    if model.pool.replicas().len() < 2 {
        return Ok(None);
    }
    // An unknown coding is left to the replica.
    let Ok(decoder) = Decoder::of(headers) else {
        return Ok(None);
    };
    let mut scan = IdScan {
        id: ResponseId::in_request(),
        buffer: decoder.as_ref().map_or(Vec::new(), |_| vec![0; BUFFER]),
        decoder,
    };
    let mut piece = Some(reader.body.start(usize::MAX));
    loop {
        let Some(bytes) = piece else { return Ok(None) };
        match scan.feed(bytes, reader.state).await {
            Ok(Some(id)) => return Ok(pipeline.stored.find(&id).map(|location| location.replica)),
            Err(_) => return Ok(None),
            Ok(None) if reader.body.has_ended() => return Ok(None),
            Ok(None) => {}
        }
        piece = match reader.next().await {
            Ok(piece) => piece,
            Err(LookError::NoRoom(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
    }
}

struct IdScan {
    id: ResponseId,
    decoder: Option<Decoder>,
    buffer: Vec<u8>,
}

impl IdScan {
    async fn feed(
        &mut self,
        piece: Bytes,
        state: &Rc<StreamState>,
    ) -> Result<Option<String>, Fault> {
        let Some(decoder) = &mut self.decoder else {
            return Ok(self.id.feed(&piece));
        };
        decoder.push(piece);
        let mut decoded = 0;
        loop {
            let length = decoder.pull(&mut self.buffer)?;
            if length == 0 {
                return Ok(None);
            }
            if let Some(id) = self.id.feed(&self.buffer[..length]) {
                return Ok(Some(id));
            }
            decoded += length;
            if decoded >= SHARE {
                decoded = 0;
                state.yield_turn().await;
            }
        }
    }
}

/// Remembers which replica stores a response, from the response's stream.
pub(super) struct Recorder {
    id: ResponseId,
    stored: Arc<StoredResponses>,
    location: ResponseLocation,
}

impl Recorder {
    pub(super) fn new(
        form: Form,
        stored: &Arc<StoredResponses>,
        model: &str,
        replica: &ReplicaRef,
    ) -> Self {
        Self {
            id: ResponseId::in_answer(form),
            stored: stored.clone(),
            location: ResponseLocation {
                model: model.into(),
                replica: replica.replica.id(),
            },
        }
    }

    /// Processes the next piece, before the caller gets it.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        if self.id.has_ended() {
            return;
        }
        if let Some(id) = self.id.feed(piece) {
            self.stored.insert(&id, self.location.clone());
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("id", &self.id)
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_segment_behind_responses() {
        for (path, id) in [
            ("/v1/responses/resp_1", Some("resp_1")),
            ("/openai/v1/responses/resp_1/cancel", Some("resp_1")),
            ("/v1/responses/r%65sp_1/input_items", Some("resp_1")),
            ("/v1/responses", None),
            ("/v1/responses/", None),
            ("/v1/responses/%ff", None),
        ] {
            assert_eq!(id_in_path(path).as_deref(), id, "{path}");
        }
    }
}

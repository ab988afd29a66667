//! Reads a replica's response, or replaces parts of it, while it streams to the caller.

use bytes::Bytes;

use super::{
    Pipeline,
    locate::Answering,
    stored_response::{Recorder, StoredResponse},
};
use crate::{
    exchange::body::Received,
    message::Response,
    protocol::{answer_model::AnswerModel, json_follower::Form},
    upstream::ReplicaRef,
};

/// Processes each piece of a response before the caller gets it.
#[derive(Debug)]
pub(super) struct AnswerFilter {
    recorder: Option<Recorder>,
    model: Option<AnswerModel>,
}

impl AnswerFilter {
    /// The filter for `response`, from `replica` of the model `name`; `None`: the response is
    /// passed on unread, as most are.
    pub(super) fn of(
        pipeline: &Pipeline,
        response: &Response<Received>,
        answering: Answering,
        name: &str,
        replica: &ReplicaRef,
    ) -> Option<Box<Self>> {
        let Answering { asked, stored, .. } = answering;
        let is_made = matches!(stored, StoredResponse::Made(_)) && response.status().is_success();
        if asked.is_none() && !is_made {
            return None;
        }
        let form = Form::of(response.headers())?;
        Some(Box::new(Self {
            recorder: is_made.then(|| Recorder::new(form, &pipeline.stored, name, replica)),
            model: asked.map(|name| AnswerModel::new(form, &name)),
        }))
    }

    /// Whether the filter changes the response's length.
    pub(super) fn changes_length(&self) -> bool {
        self.model.is_some()
    }

    /// Processes the next piece, and returns what to forward.
    pub(super) fn feed(&mut self, piece: Bytes) -> Bytes {
        if let Some(recorder) = &mut self.recorder {
            recorder.feed(&piece);
        }
        match &mut self.model {
            Some(model) => model.feed(piece),
            None => piece,
        }
    }
}

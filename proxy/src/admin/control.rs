//! The admin endpoints that change state: `POST /models/{name}/pause` and `…/resume`. They require
//! the token of `TAILBACK_ADMIN_TOKEN` and are refused where none is set.

use std::borrow::Cow;

use bytes::Bytes;
use http::{Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::json;
use tailback_scaler::{
    run::{PauseResult, pause::PauseHandle},
    status::PauseState,
};

use super::{Caller, authorization::Authorization, error};
use crate::protocol::error;

/// A request to pause or resume a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order<'a> {
    model: Cow<'a, str>,
    state: PauseState,
}

impl<'a> Order<'a> {
    /// Parses `path`; `None` if it is no such request.
    pub(super) fn parse(path: &'a str) -> Option<Self> {
        let (model, word) = path.strip_prefix("/models/")?.rsplit_once('/')?;
        let state = match word {
            "pause" => PauseState::Paused,
            "resume" => PauseState::Active,
            _ => return None,
        };
        // Names are percent-encoded in paths; a `/` may also be left unencoded.
        let model = percent_decode_str(model).decode_utf8().ok()?;
        Some(Self { model, state })
    }

    /// Carries out the order if the caller has the token.
    pub(super) async fn carry_out(
        self,
        pause: &PauseHandle,
        authorization: &Authorization,
        caller: &Caller<'_>,
    ) -> Response<Bytes> {
        let without = "models can be paused and resumed only where TAILBACK_ADMIN_TOKEN is set";
        if let Some(refused) =
            authorization.refuse_all_but_bearer(caller.headers, caller.address, without)
        {
            return refused;
        }
        match pause.set(&self.model, self.state).await {
            PauseResult::Done => error::json(
                StatusCode::OK,
                &json!({ "model": self.model, "paused": self.state == PauseState::Paused }),
            ),
            PauseResult::NoModel => error(
                StatusCode::NOT_FOUND,
                &format!("there is no model {:?}; /models lists them", self.model),
            ),
            PauseResult::NotLeading(leader) => error(
                StatusCode::CONFLICT,
                &format!(
                    "this proxy is not the leader; ask the leader: {}",
                    leader.as_deref().unwrap_or("there is none now")
                ),
            ),
            PauseResult::Stopped => {
                error(StatusCode::SERVICE_UNAVAILABLE, "the scaler has stopped")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pause_and_resume_paths_are_orders() {
        let order = |model: &'static str, state| {
            let model = model.into();
            Some(Order { model, state })
        };
        for (path, expected) in [
            ("/models/a/pause", order("a", PauseState::Paused)),
            ("/models/a/resume", order("a", PauseState::Active)),
            ("/models/a/b/pause", order("a/b", PauseState::Paused)),
            (
                "/models/Qwen%2FQwen%202/pause",
                order("Qwen/Qwen 2", PauseState::Paused),
            ),
            ("/models/%FF/pause", None),
            ("/models/a", None),
            ("/models/a/stop", None),
            ("/models/pause", None),
            ("/pause", None),
        ] {
            assert_eq!(Order::parse(path), expected, "{path}");
        }
    }
}

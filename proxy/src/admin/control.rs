//! The admin endpoints that change state: `POST /models/{name}/pause`, `…/resume` and `/reload`.
//! They require the token of `TAILBACK_ADMIN_TOKEN` and are refused where none is set.

use std::{borrow::Cow, net::IpAddr};

use bytes::Bytes;
use http::{Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::json;
use tailback_scaler::{
    run::{PauseResult, pause::PauseHandle},
    status::PauseState,
};

use super::{
    Admin, Caller,
    authorization::Authorization,
    error,
    reload::{ReloadHandle, ReloadOutcome},
};
use crate::protocol::error;

/// A request to change state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order<'a> {
    /// To pause or resume a model.
    Pause {
        model: Cow<'a, str>,
        state: PauseState,
    },
    /// To reload the configuration.
    Reload,
}

impl<'a> Order<'a> {
    /// Parses `path`; `None` if it is no such request.
    pub(super) fn parse(path: &'a str) -> Option<Self> {
        if path == "/reload" {
            return Some(Self::Reload);
        }
        let (model, word) = path.strip_prefix("/models/")?.rsplit_once('/')?;
        let state = match word {
            "pause" => PauseState::Paused,
            "resume" => PauseState::Active,
            _ => return None,
        };
        // Names are percent-encoded in paths; a `/` may also be left unencoded.
        let model = percent_decode_str(model).decode_utf8().ok()?;
        Some(Self::Pause { model, state })
    }

    /// Carries out the order if the caller has the token.
    pub(super) async fn carry_out(
        self,
        admin: &Admin,
        authorization: &Authorization,
        caller: &Caller<'_>,
    ) -> Response<Bytes> {
        let without = "the admin address changes things only where TAILBACK_ADMIN_TOKEN is set";
        if let Some(refused) =
            authorization.refuse_all_but_bearer(caller.headers, caller.address, without)
        {
            return refused;
        }
        match self {
            Self::Pause { model, state } => {
                set_pause(&admin.pause, &model, state, caller.address).await
            }
            Self::Reload => reload(&admin.reload, caller.address).await,
        }
    }
}

/// Logs who asks, and for what.
fn log_order(what: &str, address: Option<IpAddr>) {
    let address = address.map_or_else(|| "unknown".to_owned(), |ip| ip.to_canonical().to_string());
    tracing::info!(caller = address, "the admin address is asked to {what}");
}

async fn set_pause(
    pause: &PauseHandle,
    model: &str,
    state: PauseState,
    address: Option<IpAddr>,
) -> Response<Bytes> {
    let paused = state == PauseState::Paused;
    let word = if paused { "pause" } else { "resume" };
    log_order(&format!("{word} the scaling of {model:?}"), address);
    match pause.set(model, state).await {
        PauseResult::Done => {
            error::json(StatusCode::OK, &json!({ "model": model, "paused": paused }))
        }
        PauseResult::NoModel => error(
            StatusCode::NOT_FOUND,
            &format!("there is no model {model:?}; /models lists them"),
        ),
        PauseResult::NotLeading(leader) => error(
            StatusCode::CONFLICT,
            &format!(
                "this proxy is not the leader; ask the leader: {}",
                leader.as_deref().unwrap_or("there is none now")
            ),
        ),
        PauseResult::Stopped => error(StatusCode::SERVICE_UNAVAILABLE, "the scaler has stopped"),
    }
}

async fn reload(reload: &ReloadHandle, address: Option<IpAddr>) -> Response<Bytes> {
    log_order("reload the configuration", address);
    match reload.reload().await {
        Some(ReloadOutcome::Refused(why)) => {
            let message =
                format!("the new configuration is wrong, the old one stays in force:\n{why}");
            error(StatusCode::UNPROCESSABLE_ENTITY, &message)
        }
        Some(outcome) => {
            let word = outcome.as_str();
            let notes = match outcome {
                ReloadOutcome::Reloaded(notes) => notes,
                ReloadOutcome::Unchanged | ReloadOutcome::Refused(_) => Vec::new(),
            };
            error::json(StatusCode::OK, &json!({ "outcome": word, "notes": notes }))
        }
        None => error(StatusCode::SERVICE_UNAVAILABLE, "this process is ending"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_orders_are_orders() {
        let order = |model: &'static str, state| {
            let model = model.into();
            Some(Order::Pause { model, state })
        };
        for (path, expected) in [
            ("/models/a/pause", order("a", PauseState::Paused)),
            ("/models/a/resume", order("a", PauseState::Active)),
            ("/models/a/b/pause", order("a/b", PauseState::Paused)),
            (
                "/models/Qwen%2FQwen%202/pause",
                order("Qwen/Qwen 2", PauseState::Paused),
            ),
            ("/reload", Some(Order::Reload)),
            ("/reload/", None),
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

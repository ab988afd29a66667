//! The admin endpoints that change state: `POST /models/{name}/pause` and `…/resume`. They require
//! the token of `TAILBACK_ADMIN_TOKEN` and are refused where none is set.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::json;
use subtle::ConstantTimeEq;
use tailback_config::Token;
use tailback_scaler::{
    run::{PauseResult, pause::PauseHandle},
    status::PauseState,
};

use super::error;
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

    /// Carries out the order if `headers` have the token.
    pub(super) async fn carry_out(
        self,
        pause: &PauseHandle,
        token: Option<&Token>,
        headers: &HeaderMap,
    ) -> Response<Bytes> {
        let Some(token) = token else {
            return error(
                StatusCode::FORBIDDEN,
                "models can be paused and resumed only where TAILBACK_ADMIN_TOKEN is set",
            );
        };
        if !is_bearer(headers, token) {
            let mut response = error(
                StatusCode::UNAUTHORIZED,
                "expected the header authorization: Bearer, with the value of TAILBACK_ADMIN_TOKEN",
            );
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
            return response;
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

/// Compares in constant time, so that timing does not reveal how much of a guess is right.
fn is_bearer(headers: &HeaderMap, token: &Token) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, given) = value.to_str().ok()?.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then_some(given.trim())
    });
    given.is_some_and(|given| given.as_bytes().ct_eq(token.as_bytes()).into())
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

    #[test]
    fn only_the_exact_token_is_accepted() {
        let token = Token::parse("0123456789abcdef").unwrap();
        for (value, opens) in [
            ("Bearer 0123456789abcdef", true),
            ("bearer  0123456789abcdef", true),
            ("Bearer 0123456789abcdeX", false),
            ("Bearer 0123456789abcdef0", false),
            ("Bearer", false),
            ("Basic 0123456789abcdef", false),
            ("0123456789abcdef", false),
        ] {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            assert_eq!(is_bearer(&headers, &token), opens, "{value}");
        }
        assert!(!is_bearer(&HeaderMap::new(), &token));
    }
}

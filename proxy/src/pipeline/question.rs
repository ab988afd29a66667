//! Requests that ask about a model instead of using it: how they are answered when no replica has
//! room for them.

use http::{HeaderValue, Method, StatusCode, header::ALLOW};

use super::{Pipeline, rename::Names};
use crate::{
    message::{RequestParts, Response},
    protocol::{
        api::{self, Handling, Match, Probe},
        error::ProxyError,
        local_reply::LocalReply,
    },
};

/// The answer to a probe for which no replica has room.
pub(super) enum Otherwise {
    /// An error.
    Error,
    /// A reply that depends on whether the model is ready.
    Readiness(fn(bool) -> LocalReply),
    /// This reply in any case.
    Reply(Box<LocalReply>),
}

impl Otherwise {
    /// The reply to a probe that no replica has answered because of `error`.
    pub(super) fn reply(self, error: &ProxyError) -> Option<LocalReply> {
        let is_ready = match error {
            ProxyError::Busy { .. } => true,
            ProxyError::Asleep { .. } => false,
            _ => return None,
        };
        match self {
            Self::Error => None,
            Self::Readiness(reply) => Some(reply(is_ready)),
            Self::Reply(reply) => Some(*reply),
        }
    }
}

/// If the request is a probe, how to answer it when no replica does; otherwise `None`.
pub(super) fn question(
    pipeline: &Pipeline,
    found: &Match,
    head: &RequestParts,
    names: &Names,
) -> Option<Otherwise> {
    if head.method == Method::OPTIONS {
        return Some(Otherwise::Reply(allowed(head.uri.path())));
    }
    let asks = match found.handling() {
        Some(Handling::Probe(probe, _)) => match probe {
            // Between the name and the rest of the path, only a version is allowed.
            _ if !names.is_whole(head.uri.path(), &found.name) => None,
            Probe::Details => Some(Otherwise::Error),
            Probe::Readiness(reply) => Some(Otherwise::Readiness(*reply)),
        },
        // A header names a model, so the request is for its replica.
        Some(Handling::Local(_) | Handling::Models(_) | Handling::Service(_)) => {
            Some(Otherwise::Error)
        }
        None if head.method == Method::HEAD => Some(Otherwise::Error),
        _ => None,
    };
    asks.filter(|_| !pipeline.probes_wake)
}

/// The reply to OPTIONS (RFC 9110, 9.3.7).
pub(super) fn allowed(path: &str) -> Box<LocalReply> {
    let mut methods = api::allowed_methods(path);
    if methods.is_empty() {
        methods = "GET, HEAD, POST, PUT, PATCH, DELETE".into();
    }
    let mut response = Response::new(bytes::Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Ok(methods) = HeaderValue::try_from(methods + ", OPTIONS") {
        response.headers_mut().insert(ALLOW, methods);
    }
    Box::new(response.into())
}

//! The admin endpoints that change state: pause, resume and scale a model; restart, drain and
//! resume one of its replicas; cancel a request; reload. They require the token in
//! `TAILBACK_ADMIN_TOKEN`, and are refused if none is set.

use std::{borrow::Cow, net::IpAddr, time::Duration};

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::json;
use tailback_scaler::{
    run::control::{ControlError, ReplicaOrder, ScaleOrder},
    status::PauseState,
};

use super::{
    Admin, Caller,
    authorization::Authorization,
    error, not_allowed,
    reload::{ReloadHandle, ReloadOutcome},
    requests,
    scale_order::ScaleBody,
};

/// An operator's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order<'a> {
    /// Pause or resume a model.
    Pause {
        /// Its name.
        model: Cow<'a, str>,
        /// The new state.
        state: PauseState,
    },
    /// Set a model's count for a while; with DELETE, end that.
    Scale {
        /// Its name.
        model: Cow<'a, str>,
    },
    /// Restart, drain or resume a replica.
    Replica {
        /// The name of its model.
        model: Cow<'a, str>,
        /// Its name or endpoint.
        replica: Cow<'a, str>,
        /// The action.
        order: ReplicaOrder,
    },
    /// Cancel a request.
    Cancel {
        /// The name of its model.
        model: Cow<'a, str>,
        /// Its id.
        request: Cow<'a, str>,
    },
    /// Reload the configuration.
    Reload,
}

impl<'a> Order<'a> {
    /// Parses `path`; `None` if it is not the path of an order.
    #[must_use]
    pub fn parse(path: &'a str) -> Option<Self> {
        if path == "/reload" {
            return Some(Self::Reload);
        }
        // Names are percent-encoded in paths; a `/` may also be left unencoded.
        let decode = |name: &'a str| percent_decode_str(name).decode_utf8().ok();
        let (rest, word) = path.strip_prefix("/models/")?.rsplit_once('/')?;
        if let Some((model, replica)) = rest.rsplit_once("/replicas/") {
            let order = match word {
                "restart" => Some(ReplicaOrder::Restart),
                "drain" => Some(ReplicaOrder::Drain),
                "resume" => Some(ReplicaOrder::Resume),
                _ => None,
            };
            if let Some(order) = order {
                return Some(Self::Replica {
                    model: decode(model)?,
                    replica: decode(replica)?,
                    order,
                });
            }
        }
        if let (Some((model, request)), "cancel") = (rest.rsplit_once("/requests/"), word) {
            return Some(Self::Cancel {
                model: decode(model)?,
                request: decode(request)?,
            });
        }
        let model = decode(rest)?;
        let state = match word {
            "pause" => PauseState::Paused,
            "resume" => PauseState::Active,
            "scale" => return Some(Self::Scale { model }),
            _ => return None,
        };
        Some(Self::Pause { model, state })
    }

    /// The HTTP methods that the order allows.
    fn methods(&self) -> &'static str {
        match self {
            Self::Scale { .. } => "POST, DELETE",
            Self::Pause { .. } | Self::Replica { .. } | Self::Cancel { .. } | Self::Reload => {
                "POST"
            }
        }
    }

    /// Carries out the order if the caller has the token.
    pub(super) async fn carry_out(
        self,
        admin: &Admin,
        authorization: &Authorization,
        caller: &Caller<'_>,
        method: &Method,
        body: Incoming,
    ) -> Response<Bytes> {
        let methods = self.methods();
        if !methods.split(", ").any(|one| one == method) {
            return not_allowed(methods);
        }
        let without = "the admin address changes things only where TAILBACK_ADMIN_TOKEN is set";
        if let Some(refused) =
            authorization.refuse_all_but_bearer(caller.headers, caller.address, without)
        {
            return refused;
        }
        let by = said_address(caller.address);
        match self {
            Self::Pause { model, state } => set_pause(admin, &model, state, &by).await,
            Self::Scale { model } => match (method, body) {
                (&Method::DELETE, _) => scale(admin, &model, None, by).await,
                (_, body) => match ScaleBody::read(body).await {
                    Ok(body) => scale(admin, &model, Some(body), by).await,
                    Err(why) => error(StatusCode::BAD_REQUEST, &why),
                },
            },
            Self::Replica {
                model,
                replica,
                order,
            } => order_replica(admin, (&model, &replica), order, &by).await,
            Self::Cancel { model, request } => {
                log_order(&format!("cancel the request {request:?} of {model:?}"), &by);
                requests::cancel(admin, &model, &request).await
            }
            Self::Reload => reload(&admin.reload, &by).await,
        }
    }
}

fn said_address(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "unknown".to_owned(), |ip| ip.to_canonical().to_string())
}

/// Logs the order and its caller.
fn log_order(what: &str, caller: &str) {
    tracing::info!(caller, "the admin address is asked to {what}");
}

async fn set_pause(admin: &Admin, model: &str, state: PauseState, by: &str) -> Response<Bytes> {
    let paused = state == PauseState::Paused;
    let word = if paused { "pause" } else { "resume" };
    log_order(&format!("{word} the scaling of {model:?}"), by);
    match admin.control.pause(model, state).await {
        Ok(()) => super::json(StatusCode::OK, &json!({ "model": model, "paused": paused })),
        Err(why) => refused(model, why),
    }
}

/// Sets a model's count for a while, or ends that.
async fn scale(admin: &Admin, model: &str, body: Option<ScaleBody>, by: String) -> Response<Bytes> {
    // Zero seconds end it.
    let body = body.filter(|body| body.seconds > 0);
    let what = match &body {
        Some(ScaleBody { replicas, seconds }) => {
            format!("hold {model:?} at {replicas} replicas for {seconds} s")
        }
        None => format!("hold the count of {model:?} no longer"),
    };
    log_order(&what, &by);
    let order = body.as_ref().map(|body| ScaleOrder {
        replicas: body.replicas,
        lasts: Duration::from_secs(body.seconds),
        by,
    });
    match admin.control.scale(model, order).await {
        Ok(manual) => {
            let asked = body.map(|body| body.replicas);
            let held = manual.as_ref().map(|manual| manual.replicas);
            let note = match (asked, held) {
                (Some(asked), Some(held)) if asked < held => {
                    Some(format!("{asked} asked for, and minReplicas is {held}"))
                }
                (Some(asked), Some(held)) if asked > held => {
                    Some(format!("{asked} asked for, and maxReplicas is {held}"))
                }
                _ => None,
            };
            let answer = json!({ "model": model, "manual": manual, "note": note });
            super::json(StatusCode::OK, &answer)
        }
        Err(why) => refused(model, why),
    }
}

async fn order_replica(
    admin: &Admin,
    (model, replica): (&str, &str),
    order: ReplicaOrder,
    by: &str,
) -> Response<Bytes> {
    let word = match order {
        ReplicaOrder::Restart => "restart",
        ReplicaOrder::Drain => "drain",
        ReplicaOrder::Resume => "resume",
    };
    log_order(&format!("{word} the replica {replica:?} of {model:?}"), by);
    match admin.control.replica(model, replica, order).await {
        Ok(name) => {
            let answer = json!({ "model": model, "replica": name, "order": word });
            super::json(StatusCode::OK, &answer)
        }
        Err(ControlError::NoReplica(names)) => {
            let names = match &*names {
                [] => "it has none now".to_owned(),
                names => format!("it has {}", names.join(", ")),
            };
            let message = format!("{model:?} has no replica {replica:?}; {names}");
            error(StatusCode::NOT_FOUND, &message)
        }
        Err(why) => refused(model, why),
    }
}

fn refused(model: &str, why: ControlError) -> Response<Bytes> {
    match why {
        ControlError::NoModel | ControlError::NoReplica(_) => error(
            StatusCode::NOT_FOUND,
            &format!("there is no model {model:?}; /models lists them"),
        ),
        ControlError::NotLeading(leader) => error(
            StatusCode::CONFLICT,
            &format!(
                "this proxy is not the leader; ask the leader: {}",
                leader.as_deref().unwrap_or("there is none now")
            ),
        ),
        ControlError::Refused(why) => error(StatusCode::CONFLICT, &why),
        ControlError::Failed(why) => error(StatusCode::BAD_GATEWAY, &why),
        ControlError::Stopped => error(StatusCode::SERVICE_UNAVAILABLE, "the scaler has stopped"),
    }
}

async fn reload(reload: &ReloadHandle, by: &str) -> Response<Bytes> {
    log_order("reload the configuration", by);
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
            super::json(StatusCode::OK, &json!({ "outcome": word, "notes": notes }))
        }
        None => error(StatusCode::SERVICE_UNAVAILABLE, "this process is ending"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_orders_are_orders() {
        let pause = |model: &'static str, state| {
            let model = model.into();
            Some(Order::Pause { model, state })
        };
        let scale = |model: &'static str| {
            let model = model.into();
            Some(Order::Scale { model })
        };
        let of_replica = |model: &'static str, replica: &'static str, order| {
            let (model, replica) = (model.into(), replica.into());
            Some(Order::Replica {
                model,
                replica,
                order,
            })
        };
        for (path, expected) in [
            ("/models/a/pause", pause("a", PauseState::Paused)),
            ("/models/a/resume", pause("a", PauseState::Active)),
            ("/models/a/b/pause", pause("a/b", PauseState::Paused)),
            (
                "/models/Qwen%2FQwen%202/pause",
                pause("Qwen/Qwen 2", PauseState::Paused),
            ),
            ("/models/a/b/scale", scale("a/b")),
            (
                "/models/a/b/replicas/a%2Fb-0/restart",
                of_replica("a/b", "a/b-0", ReplicaOrder::Restart),
            ),
            (
                "/models/m/replicas/127.0.0.1:80/drain",
                of_replica("m", "127.0.0.1:80", ReplicaOrder::Drain),
            ),
            (
                "/models/m/replicas/r/resume",
                of_replica("m", "r", ReplicaOrder::Resume),
            ),
            (
                "/models/a/b/requests/0-7/cancel",
                Some(Order::Cancel {
                    model: "a/b".into(),
                    request: "0-7".into(),
                }),
            ),
            ("/models/m/requests/0-7/stop", None),
            ("/models/m/requests/cancel", None),
            ("/models/m/replicas/r/stop", None),
            ("/models/m/restart", None),
            ("/reload", Some(Order::Reload)),
            ("/reload/", None),
            ("/models/%FF/pause", None),
            ("/models/m/replicas/%FF/drain", None),
            ("/models/a", None),
            ("/models/a/stop", None),
            ("/models/pause", None),
            ("/pause", None),
        ] {
            assert_eq!(Order::parse(path), expected, "{path}");
        }
    }
}

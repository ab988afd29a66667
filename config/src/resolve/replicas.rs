//! Resolves the bounds of a model's replica count.
//!
//! Load changes the count only if `minReplicas` or `maxReplicas` is set; `replicas` alone is a
//! fixed count. A Kubernetes workload whose model sets none of the three keeps its own count.

use crate::manifest::{Draft, Located};
use crate::{Error, Kind, ObjectLocation, Origin, Replicas, Server};

use super::rule;

/// The bounds of `draft` on `server`; `None` only after an error.
pub(super) fn read(draft: &Draft, server: &Server, errors: &mut Vec<Error>) -> Option<Replicas> {
    let before = errors.len();
    let replicas = match &server.kind {
        Kind::Static(_) | Kind::Process(_) | Kind::Kubernetes(_)
            if server.multi_model.is_some() =>
        {
            on_multi_model(draft, server, errors)
        }
        Kind::Static(fixed) => {
            for bound in draft.min.iter().chain(&draft.max) {
                errors.push(rule(
                    &bound.spot,
                    format!(
                        "server {} is static, and a static server is never scaled; remove it",
                        server.name
                    ),
                ));
            }
            // The number of endpoints is the count, whatever `replicas` is.
            let count = u32::try_from(fixed.endpoints.len()).unwrap_or(u32::MAX);
            exactly(count, Origin::Server(server.place.clone()))
        }
        // A workload keeps its own count until the model sets one.
        Kind::Kubernetes(_) | Kind::Seldon(_)
            if draft.min.is_none() && draft.max.is_none() && draft.replicas.is_none() =>
        {
            Replicas {
                min: 0,
                max: u32::MAX,
                initial: 0,
                scaled: false,
                min_origin: Origin::Default,
                max_origin: Origin::Default,
                initial_origin: Origin::Default,
            }
        }
        Kind::Process(_) | Kind::Kubernetes(_) | Kind::Webhook(_) | Kind::Seldon(_)
            if draft.min.is_none() && draft.max.is_none() =>
        {
            static_count(draft, server, errors)
        }
        Kind::Process(_) | Kind::Kubernetes(_) | Kind::Webhook(_) | Kind::Seldon(_) => {
            scaled(draft, server, errors)
        }
    };
    check_zero(draft, server, errors);
    check_max(draft, server, errors);
    (errors.len() == before).then_some(replicas)
}

/// The fixed count of a model that sets no bounds.
fn static_count(draft: &Draft, server: &Server, errors: &mut Vec<Error>) -> Replicas {
    if let Some(replicas) = &draft.replicas {
        within_server(replicas, server, errors);
    }
    let count = draft.replicas.as_ref().map_or(1, |replicas| replicas.value);
    let origin = origin(draft, draft.replicas.as_ref(), Origin::Default);
    exactly(count, origin)
}

/// A count that load does not change, and what has set it.
fn exactly(count: u32, origin: Origin) -> Replicas {
    Replicas {
        min: count,
        max: count,
        initial: count,
        scaled: false,
        min_origin: origin.clone(),
        max_origin: origin.clone(),
        initial_origin: origin,
    }
}

/// The bounds of a model on a multi-model server: at most one replica in each replica of the
/// server.
fn on_multi_model(draft: &Draft, server: &Server, errors: &mut Vec<Error>) -> Replicas {
    if draft.min.is_none() && draft.max.is_none() {
        return static_count(draft, server, errors);
    }
    let mut replicas = scaled(draft, server, errors);
    let most = server.multi_model.as_ref().map(|own| own.replicas.max);
    if let (None, Some(most)) = (&draft.max, most) {
        replicas.max = replicas.max.min(most).max(replicas.min);
    }
    replicas
}

/// Refuses bounds of 0 and 0, with which no request could ever be served.
fn check_max(draft: &Draft, server: &Server, errors: &mut Vec<Error>) {
    // For these kinds, a bound of 0 has an error of its own.
    let is_static = matches!(server.kind, Kind::Static(_)) && server.multi_model.is_none();
    if is_static || matches!(server.kind, Kind::Seldon(_)) {
        return;
    }
    let no_min = draft.min.as_ref().is_some_and(|min| min.value == 0);
    if let Some(max) = draft.max.as_ref().filter(|max| max.value == 0 && no_min) {
        errors.push(rule(
            &max.spot,
            "found 0, expected at least 1: with no replica, no request could ever be answered; to switch the model \
             off, set replicas: 0 without bounds, or remove the model"
                .into(),
        ));
    }
}

/// Refuses 0 with Seldon's scheduler, which never goes below 1.
fn check_zero(draft: &Draft, server: &Server, errors: &mut Vec<Error>) {
    if server.seldon().is_none() {
        return;
    }
    for count in draft.min.iter().chain(&draft.max).chain(&draft.replicas) {
        if count.value == 0 {
            errors.push(rule(
                &count.spot,
                format!(
                    "found 0, expected at least 1: Seldon's scheduler, which scales the models of server {}, never \
                     goes below 1 (a kubernetes server of kind Model does)",
                    server.name
                ),
            ));
        }
    }
}

fn scaled(draft: &Draft, server: &Server, errors: &mut Vec<Error>) -> Replicas {
    let min = draft.min.as_ref().map_or(1, |min| min.value);
    let max = draft
        .max
        .as_ref()
        .map(|max| max.value)
        .or(server.max_replicas)
        .unwrap_or(u32::MAX);
    let server_max = match server.max_replicas {
        Some(_) => Origin::Server(server.place.clone()),
        None => Origin::Default,
    };
    let initial = draft
        .replicas
        .as_ref()
        .map_or(min, |replicas| replicas.value);
    let replicas = Replicas {
        min,
        max,
        initial,
        scaled: true,
        min_origin: origin(draft, draft.min.as_ref(), Origin::Default),
        max_origin: origin(draft, draft.max.as_ref(), server_max),
        initial_origin: origin(
            draft,
            draft.replicas.as_ref().or(draft.min.as_ref()),
            Origin::Default,
        ),
    };

    let own = draft.min.iter().chain(&draft.max).chain(&draft.replicas);
    // One error for each cause: a count beyond the server's limit is not reported again.
    let fit = own
        .map(|count| within_server(count, server, errors))
        .fold(true, |all, fits| all & fits);
    if !fit {
        return replicas;
    }
    if min > max {
        if let Some(own) = draft.max.as_ref().or(draft.min.as_ref()) {
            let bound = if draft.min.is_some() {
                "minReplicas"
            } else {
                "minReplicas by default"
            };
            errors.push(rule(
                &own.spot,
                format!("found {max}, expected at least {min}, which is {bound}"),
            ));
        }
    } else if let Some(own) = draft
        .replicas
        .as_ref()
        .filter(|own| own.value < min || own.value > max)
    {
        let upper = if max == u32::MAX {
            String::new()
        } else {
            format!(" and at most {max} (maxReplicas)")
        };
        errors.push(rule(
            &own.spot,
            format!(
                "found {}, expected at least {min} (minReplicas){upper}",
                own.value
            ),
        ));
    }
    replicas
}

/// Whether the server allows a count. Notes an error if not.
fn within_server(count: &Located<u32>, server: &Server, errors: &mut Vec<Error>) -> bool {
    match server.max_replicas {
        Some(max) if count.value > max => {
            errors.push(rule(
                &count.spot,
                format!(
                    "found {}, expected at most {max}, the maxReplicas of server {}",
                    count.value, server.name
                ),
            ));
            false
        }
        _ => true,
    }
}

/// The model as origin if it sets the count itself, else `otherwise`.
fn origin(draft: &Draft, own: Option<&Located<u32>>, otherwise: Origin) -> Origin {
    match own {
        Some(own) => Origin::Model(ObjectLocation {
            line: own.spot.line,
            ..draft.place.clone()
        }),
        None => otherwise,
    }
}

//! Chooses the server of a model.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::is_from_cluster;
use crate::manifest::Draft;
use crate::suggest::hint;
use crate::{Error, Server};

use super::rule;

/// The server that `draft` names, or else the only one with all capabilities that it requires.
///
/// If the servers are not `complete`, a missing server is no error: it may be one that could not
/// be read, which has an error of its own.
pub(super) fn server<'a>(
    draft: &Draft,
    servers: &'a BTreeMap<String, Arc<Server>>,
    complete: bool,
    errors: &mut Vec<Error>,
) -> Option<&'a Arc<Server>> {
    let capable = |server: &Server| missing(draft, server).is_empty();
    if let Some(named) = &draft.server {
        let Some(server) = servers.get(&named.value) else {
            if complete {
                let hint = hint(&named.value, servers.keys().map(String::as_str));
                let names: Vec<_> = servers.keys().map(String::as_str).collect();
                let names = match names.is_empty() {
                    true => "none".to_owned(),
                    false => names.join(", "),
                };
                errors.push(Error::Value {
                    spot: Box::new(named.spot.clone()),
                    found: crate::yaml::quote(&named.value),
                    expected: format!("the name of a server{hint} (there are: {names})"),
                });
            }
            return None;
        };
        if !capable(server) {
            errors.push(rule(
                &named.spot,
                format!(
                    "server {} has not all that the model requires: its capabilities are [{}], missing is [{}]",
                    server.name,
                    server.capabilities.join(", "),
                    missing(draft, server).join(", ")
                ),
            ));
            return None;
        }
        return Some(server);
    }
    // Servers of discovered models are chosen only by name.
    let mut capable = servers
        .values()
        .filter(|server| capable(server) && !is_from_cluster(&server.place));
    match (capable.next(), capable.next()) {
        (Some(only), None) if complete => Some(only),
        _ if !complete => None,
        (Some(first), Some(second)) => {
            let names = [first, second]
                .into_iter()
                .chain(capable)
                .map(|server| server.name.as_str());
            let names = names.collect::<Vec<_>>().join(", ");
            errors.push(rule(
                &draft.spot,
                format!("several servers can run it ({names}); set `server` to one of them"),
            ));
            None
        }
        _ if servers.is_empty() => {
            let message = "there is no Server, and a model needs one to run on";
            errors.push(rule(&draft.spot, message.to_owned()));
            None
        }
        _ => {
            errors.push(rule(
                &draft.spot,
                format!(
                    "no server has all that the model requires, [{}] (there are: {})",
                    draft.requirements.join(", "),
                    list(servers)
                ),
            ));
            None
        }
    }
}

/// The required capabilities that the server does not have.
fn missing<'a>(draft: &'a Draft, server: &Server) -> Vec<&'a str> {
    let lacks = |requirement: &&String| !server.capabilities.contains(requirement);
    draft
        .requirements
        .iter()
        .filter(lacks)
        .map(String::as_str)
        .collect()
}

/// All servers with their capabilities, for messages.
fn list(servers: &BTreeMap<String, Arc<Server>>) -> String {
    let show =
        |server: &Arc<Server>| format!("{} [{}]", server.name, server.capabilities.join(", "));
    servers.values().map(show).collect::<Vec<_>>().join(", ")
}

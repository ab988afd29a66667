//! Makes servers from Seldon's `Server` documents and their `ServerConfig`s, and fills in names.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::kubernetes::SERVER;
use crate::manifest::{Located, Objects, SeldonServer};
use crate::name::{is_label, is_name};
use crate::suggest::hint;
use crate::{Error, Kind, Server, ServerReplicas, WorkloadSource};

use super::{duplicate, rule};

/// All servers of `objects` by name, and whether the list is complete: a server with an error is
/// left out. A missing `ServerConfig` is no error if it might be one that could not be read.
pub(super) fn all(
    objects: &mut Objects,
    errors: &mut Vec<Error>,
) -> (BTreeMap<String, Arc<Server>>, bool) {
    let mut complete = !objects.unread;
    let configs = unique(
        "ServerConfig",
        std::mem::take(&mut objects.server_configs),
        errors,
    );
    let mut servers = std::mem::take(&mut objects.servers);
    for seldon in std::mem::take(&mut objects.seldon_servers) {
        let server = match configs.get(&seldon.config.value) {
            Some(config) => of_seldon(seldon, config, errors),
            None => {
                if !objects.unread {
                    errors.push(no_config(&seldon.config, &configs));
                }
                None
            }
        };
        complete &= server.is_some();
        servers.extend(server);
    }
    for server in &mut servers {
        fill_name(server);
    }
    let servers = unique("Server", servers, errors);
    let shared = servers
        .into_iter()
        .map(|(name, server)| (name, Arc::new(server)));
    (shared.collect(), complete)
}

/// The servers by name. A second one of the same name is an error.
fn unique(kind: &str, servers: Vec<Server>, errors: &mut Vec<Error>) -> BTreeMap<String, Server> {
    let mut by_name = BTreeMap::<String, Server>::new();
    for server in servers {
        match by_name.get(&server.name) {
            Some(first) => errors.push(duplicate(kind, &server.place, &first.place)),
            None => {
                by_name.insert(server.name.clone(), server);
            }
        }
    }
    by_name
}

fn no_config(named: &Located<String>, configs: &BTreeMap<String, Server>) -> Error {
    let names: Vec<_> = configs.keys().map(String::as_str).collect();
    let hint = hint(&named.value, names.iter().copied());
    let names = match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    };
    Error::Value {
        spot: Box::new(named.spot.clone()),
        found: crate::yaml::quote(&named.value),
        expected: format!(
            "the name of a ServerConfig of tailback.dev/v1alpha1, which says how the replicas are run{hint} (there \
             are: {names})"
        ),
    }
}

/// The server that Seldon's document and its `ServerConfig` describe together; `None` only after an
/// error.
fn of_seldon(seldon: SeldonServer, config: &Server, errors: &mut Vec<Error>) -> Option<Server> {
    let mut server = config.clone();
    if let Some(own) = seldon.capabilities {
        server.capabilities = own;
    }
    for extra in seldon.extra {
        if !server.capabilities.contains(&extra) {
            server.capabilities.push(extra);
        }
    }
    if let (Some(_), Kind::Kubernetes(_)) = (seldon.memory, &server.kind) {
        server.memory = seldon.memory;
    }
    // As for models, the number of endpoints is the count, whatever `replicas` is.
    let initial = match server.kind {
        Kind::Static(_) => None,
        _ => seldon.replicas,
    };
    if let (Kind::Static(_), Some(max)) = (&server.kind, seldon.max) {
        let why = format!(
            "found maxReplicas {max}, but ServerConfig {} is static, and a static server is never scaled; remove it",
            config.name
        );
        errors.push(rule(&seldon.spot, why));
        return None;
    }
    match ServerReplicas::of(&server.kind, seldon.min, seldon.max, initial) {
        Ok(replicas) => {
            if let Some(own) = &mut server.multi_model {
                own.replicas = replicas;
            }
        }
        Err(why) => {
            errors.push(rule(&seldon.spot, why));
            return None;
        }
    }
    server.max_replicas = seldon.max;
    server.name.clone_from(&seldon.place.name);
    server.place = seldon.place;
    fill_name(&mut server);
    if let Kind::Kubernetes(spec) = &server.kind
        && let WorkloadSource::Service(service) = &spec.source
    {
        let wrong = match (is_name(&spec.name), is_label(&service.name)) {
            (false, _) => Some((spec.kind.as_str(), &spec.name, 253)),
            (true, false) => Some(("Service", &service.name, 63)),
            (true, true) => None,
        }
        .map(|(what, name, most)| {
            format!(
                "the {what} would be called {name}; expected at most {most} lower-case letters, digits and '-': give \
                 the server such a name, or a ServerConfig without {SERVER} there"
            )
        });
        if let Some(why) = wrong {
            errors.push(rule(&seldon.spot, why));
            return None;
        }
    }
    Some(server)
}

/// Replaces `{server}` by the server's name in the fields that describe how its replicas are run.
fn fill_name(server: &mut Server) {
    let name = server.name.clone();
    let fill = |text: &mut String| {
        if text.contains(SERVER) {
            *text = text.replace(SERVER, &name);
        }
    };
    match &mut server.kind {
        Kind::Process(spec) => {
            spec.command.iter_mut().for_each(fill);
            spec.stop_command.iter_mut().for_each(fill);
            spec.env.values_mut().for_each(fill);
        }
        Kind::Kubernetes(spec) => {
            fill(&mut spec.name);
            if let WorkloadSource::Service(service) = &mut spec.source {
                fill(&mut service.name);
            }
        }
        Kind::Static(_) | Kind::Webhook(_) | Kind::Seldon(_) => {}
    }
    let shared = server.multi_model.as_mut();
    if let Some(repository) = shared.and_then(|own| own.repository.as_mut())
        && let Some(path) = repository.path.to_str()
    {
        repository.path = path.replace(SERVER, &name).into();
    }
}

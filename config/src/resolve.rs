//! Makes the finished [`Config`] from drafts and servers: finds each model's server, resolves
//! every setting, and checks what involves several documents.

mod capacity;
mod choose;
mod host;
mod names;
mod replicas;
mod servers;
mod settings;
mod storage;
mod webhook;
mod workload;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::environment::{Environment, ModelDefaults};
use crate::manifest::{Draft, Objects};
use crate::{
    Config, Error, FieldLocation, Host, Model, ObjectLocation, Origin, Replication, Server, Setting,
};

/// Makes the configuration of `objects` and `environment`. Errors are added to `errors`; the
/// result is valid only if there are none.
pub(crate) fn resolve(
    mut objects: Objects,
    environment: Environment,
    errors: &mut Vec<Error>,
) -> Config {
    // If a server could not be read, "no such server" may only be a consequence of that.
    let (servers, complete) = servers::all(&mut objects, errors);
    storage::check_apart(servers.values().map(|server| &**server), errors);
    let host = host::only(objects.hosts, errors);
    let mut models = BTreeMap::<String, Arc<Model>>::new();
    let mut memory = capacity::Memory::default();
    let mut workloads = workload::Workloads::default();
    let mut webhooks = webhook::Webhooks::default();
    let mut names = names::Names::default();
    let mut at_servers = names::NamesAtServers::default();
    for draft in names.unique(objects.models, errors) {
        names.add_aliases(&draft, errors);
        let Some(server) = choose::server(&draft, &servers, complete, errors) else {
            continue;
        };
        memory.add(&draft, server, errors);
        workloads.add(&draft, server, errors);
        at_servers.add(&draft, server, errors);
        check_name(&draft, &servers, errors);
        if environment.process.peers.is_some() {
            check_reach(&draft, server, errors);
        }
        webhooks.add(&draft, server, errors);
        if let Some(model) = model(
            draft,
            server,
            host.as_ref(),
            &environment.model_defaults,
            errors,
        ) {
            models.insert(model.name.clone(), Arc::new(model));
        }
    }
    memory.check(errors);
    if complete && environment.process.cluster_models.is_none() {
        names.check_routing(&environment.process, errors);
    }
    Config {
        models,
        servers,
        host,
        skipped: objects.skipped,
        process: environment.process,
    }
}

fn model(
    draft: Draft,
    server: &Arc<Server>,
    host: Option<&Arc<Host>>,
    model_defaults: &ModelDefaults,
    errors: &mut Vec<Error>,
) -> Option<Model> {
    check_concurrency(&draft, server, errors);
    storage::check(&draft, server, errors);
    let replicas = replicas::read(&draft, server, errors)?;
    let concurrency = match &draft.concurrency {
        Some(own) => {
            let place = ObjectLocation {
                line: own.spot.line,
                ..draft.place.clone()
            };
            Setting::new(Some(own.value), Origin::Model(place))
        }
        // Such a server's `concurrency` is a limit for all models of a replica together, not for
        // each.
        None if server.multi_model.is_some() => Setting::new(None, Origin::Default),
        None if server.concurrency.is_some() => {
            Setting::new(server.concurrency, Origin::Server(server.place.clone()))
        }
        None => Setting::new(None, Origin::Default),
    };
    let room = host::room(&draft, server, host, errors);
    let settings = settings::of(draft.overrides, server, model_defaults);
    let aliases = draft.aliases.into_iter().map(|alias| alias.value);
    let (wildcards, aliases): (Vec<_>, Vec<_>) =
        aliases.partition(|alias| alias.ends_with(names::WILDCARD));
    let starts = wildcards
        .iter()
        .map(|alias| alias.trim_end_matches(names::WILDCARD));
    Some(Model {
        name: draft.place.name.clone(),
        wildcards: starts.map(str::to_owned).collect(),
        aliases,
        place: draft.place,
        upstream_name: draft.upstream_name,
        response_model: draft.response_model.unwrap_or_default(),
        allow: draft.allow,
        server: Arc::clone(server),
        storage_uri: draft.storage_uri,
        requirements: draft.requirements,
        memory: draft.memory.map(|memory| memory.value),
        host: host.filter(|_| room.is_some()).cloned(),
        room,
        replicas,
        concurrency,
        hold: settings.hold,
        timeouts: settings.timeouts,
        include_usage: settings.include_usage,
        retry: settings.retry,
        scaling: settings.scaling,
    })
}

/// Checks that no model limits replicas that it shares with other models.
fn check_concurrency(draft: &Draft, server: &Server, errors: &mut Vec<Error>) {
    if let (Some(own), Replication::Shared) = (&draft.concurrency, server.replication()) {
        errors.push(rule(
            &own.spot,
            format!(
                "the endpoints of the {} server {} are shared by its models; set concurrency on the server",
                server.kind, server.name
            ),
        ));
    }
}

/// Checks that no multi-model server has the model's name: replicas of such a server are
/// identified by the server's name, other replicas by their model's.
fn check_name(draft: &Draft, servers: &BTreeMap<String, Arc<Server>>, errors: &mut Vec<Error>) {
    let same = servers.get(&draft.place.name);
    if same.is_some_and(|server| server.multi_model.is_some()) {
        errors.push(rule(
            &draft.spot,
            "a multi-model server has the same name, and its replicas are known by it; give one of the two another name"
                .to_owned(),
        ));
    }
}

/// Checks that, with several proxies, no replica is a local process: the other proxies could not
/// reach it.
fn check_reach(draft: &Draft, server: &Server, errors: &mut Vec<Error>) {
    if server.multi_model.is_some() {
        errors.push(rule(
            &draft.spot,
            format!(
                "its server {} is a multi-model server, whose models one proxy alone loads and unloads; expected \
                 TAILBACK_KUBE_PEERS not to be set, or a server without multiModel",
                server.name
            ),
        ));
    } else if server.process().is_some() {
        errors.push(rule(
            &draft.spot,
            format!(
                "its server {} is of processes on the proxy's own host, which other proxies do not \
                 reach; where TAILBACK_KUBE_PEERS is set, expected a server that all of them reach, \
                 such as kubernetes or static",
                server.name
            ),
        ));
    }
}

fn rule(spot: &FieldLocation, message: String) -> Error {
    Error::Rule {
        spot: Box::new(spot.clone()),
        message,
    }
}

/// The error for a second object of the same name.
fn duplicate(kind: &str, second: &ObjectLocation, first: &ObjectLocation) -> Error {
    let spot = FieldLocation {
        file: Arc::clone(&second.file),
        document: second.document,
        object: format!("{kind} {}", second.name),
        line: second.line,
        field: "metadata.name".into(),
    };
    let message = format!(
        "there is a {kind} {} already ({}, document {}, line {}); names must differ",
        second.name,
        first.file.display(),
        first.document,
        first.line
    );
    Error::Rule {
        spot: Box::new(spot),
        message,
    }
}

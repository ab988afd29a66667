//! Checks that no two models share a name or alias.

use std::collections::{BTreeMap, HashMap};

use crate::cluster::is_from_cluster;
use crate::manifest::{Draft, Located};
use crate::yaml::quote;
use crate::{Error, ObjectLocation, Origin, Process, Server};

use super::{duplicate, rule};

/// The last character of an alias that stands for all names with the same beginning.
pub(super) const WILDCARD: char = '*';

/// The names of all models.
#[derive(Default)]
pub(super) struct Names {
    own: HashMap<String, ObjectLocation>,
    /// Each alias, with the model that it belongs to.
    aliases: HashMap<String, ObjectLocation>,
}

/// For each multi-model server and name of a model there, the Tailback model that has it.
#[derive(Default)]
pub(super) struct NamesAtServers(BTreeMap<(String, String), String>);

impl NamesAtServers {
    /// Adds `draft`, which is on `server`. No two models may have the same name at one server,
    /// because the loads and unloads of one would affect the other.
    pub(super) fn add(&mut self, draft: &Draft, server: &Server, errors: &mut Vec<Error>) {
        if server.multi_model.is_none() {
            return;
        }
        let own = draft.upstream_name.as_ref().unwrap_or(&draft.place.name);
        let key = (server.name.clone(), own.clone());
        if let Some(other) = self.0.insert(key, draft.place.name.clone()) {
            errors.push(rule(
                &draft.spot,
                format!(
                    "it is {own} at server {}, and so is model {other}: each would be loaded and unloaded with the \
                     other; give each another upstreamName, or make one name an alias of the other model",
                    server.name
                ),
            ));
        }
    }
}

impl Names {
    /// Adds the names of `drafts`. A second draft of the same name is noted and left out.
    pub(super) fn unique(&mut self, drafts: Vec<Draft>, errors: &mut Vec<Error>) -> Vec<Draft> {
        let mut kept = Vec::with_capacity(drafts.len());
        for draft in drafts {
            match self.own.get(&draft.place.name) {
                Some(first) => errors.push(duplicate("Model", &draft.place, first)),
                None => {
                    self.own
                        .insert(draft.place.name.clone(), draft.place.clone());
                    kept.push(draft);
                }
            }
        }
        kept
    }

    /// Adds the aliases of `draft`. All names must have been added before.
    pub(super) fn add_aliases(&mut self, draft: &Draft, errors: &mut Vec<Error>) {
        for alias in &draft.aliases {
            if let Some(owner) = self.own.get(&alias.value) {
                errors.push(taken(alias, &draft.place, owner));
            } else if let Some(first) = self.aliases.get(&alias.value) {
                errors.push(rule(
                    &alias.spot,
                    format!(
                        "{} is an alias of model {} already; names must differ",
                        alias.value, first
                    ),
                ));
            } else {
                self.aliases
                    .insert(alias.value.clone(), draft.place.clone());
            }
        }
    }

    /// Notes the models that `process.routing` names and that do not exist.
    pub(super) fn check_routing(&self, process: &Process, errors: &mut Vec<Error>) {
        let routing = &process.routing;
        for (variable, name) in [
            ("TAILBACK_DEFAULT_MODEL", &routing.default_model),
            ("TAILBACK_FALLBACK_MODEL", &routing.fallback_model),
        ] {
            let Some(name) = name else { continue };
            if self.own.contains_key(name) || self.aliases.contains_key(name) {
                continue;
            }
            let either = [Origin::Flag(variable), Origin::Environment(variable)];
            let origin = process.set.iter().find(|origin| either.contains(origin));
            errors.push(Error::Variable {
                origin: origin.unwrap_or(&either[1]).clone(),
                found: quote(name),
                expected: "the name or an alias of a model".into(),
            });
        }
    }
}

/// The error for an `alias` of `draft` that is the name of `owner`. A model from a manifest wins
/// over a discovered one.
fn taken(alias: &Located<String>, draft: &ObjectLocation, owner: &ObjectLocation) -> Error {
    if is_from_cluster(owner) && !is_from_cluster(draft) {
        let mut spot = alias.spot.clone();
        spot.file.clone_from(&owner.file);
        spot.document = owner.document;
        spot.object = format!("Model {}", owner.name);
        spot.line = owner.line;
        spot.field = "metadata.name".into();
        return rule(&spot, format!("it is an alias of model {draft} already"));
    }
    rule(
        &alias.spot,
        format!("there is a model {owner} already; names must differ"),
    )
}

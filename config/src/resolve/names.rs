//! Checks that no two models share a name or alias.

use std::collections::HashMap;

use crate::cluster::is_from_cluster;
use crate::manifest::{Draft, Located};
use crate::{Error, ObjectLocation};

use super::{duplicate, rule};

/// The names of all models.
#[derive(Default)]
pub(super) struct Names {
    own: HashMap<String, ObjectLocation>,
    /// Each with the model that it belongs to.
    aliases: HashMap<String, ObjectLocation>,
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
}

/// The error for an `alias` of `draft` that is the name of `owner`. A discovered model gives way
/// to one in a manifest.
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

//! Checks that a webhook without `{model}` in its request serves only one model.

use std::collections::HashMap;

use crate::manifest::Draft;
use crate::{Error, Server};

use super::rule;

/// The model of each server whose webhook has no `{model}`.
#[derive(Default)]
pub(super) struct Webhooks {
    owner: HashMap<String, String>,
}

impl Webhooks {
    /// Notes an error if `draft` and another model would send the same request.
    pub(super) fn add(&mut self, draft: &Draft, server: &Server, errors: &mut Vec<Error>) {
        let Some(spec) = server.webhook() else { return };
        if spec.is_per_model() {
            return;
        }
        match self.owner.get(&server.name) {
            Some(first) => errors.push(rule(
                &draft.spot,
                format!(
                    "the webhook of server {} would ask for {first} and for this model by the same \
                     request; expected {{model}} in its url, headers or body, or a server of its own",
                    server.name
                ),
            )),
            None => {
                let model = draft.place.name.clone();
                self.owner.insert(server.name.clone(), model);
            }
        }
    }
}

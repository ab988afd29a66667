//! Checks that the models of a server fit into its memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::manifest::Draft;
use crate::number::show_bytes;
use crate::{Error, FieldLocation, Server};

/// For each server with a memory limit, the memory that its models take.
#[derive(Default)]
pub(super) struct Memory<'a> {
    wanted: BTreeMap<&'a str, Wanted<'a>>,
}

/// A server, and the bytes that each of its models takes.
struct Wanted<'a> {
    server: &'a Server,
    models: Vec<(String, u64)>,
}

impl<'a> Memory<'a> {
    /// Adds a model, if both it and its server set `memory`. On a multi-model server only the
    /// model alone must fit, because not all need be loaded at once.
    pub(super) fn add(&mut self, draft: &Draft, server: &'a Server, errors: &mut Vec<Error>) {
        if let (Some(room), Some(memory)) = (server.memory, &draft.memory) {
            if server.multi_model.is_some() {
                if memory.value > room {
                    errors.push(Error::Rule {
                        spot: Box::new(memory.spot.clone()),
                        message: format!(
                            "found {}, expected at most {}, the memory of a replica of server {}",
                            show_bytes(memory.value),
                            show_bytes(room),
                            server.name
                        ),
                    });
                }
                return;
            }
            let wanted = Wanted {
                server,
                models: Vec::new(),
            };
            let Wanted { models, .. } = self.wanted.entry(&server.name).or_insert(wanted);
            models.push((draft.place.name.clone(), memory.value));
        }
    }

    /// Notes each server whose models take more than it has.
    pub(super) fn check(self, errors: &mut Vec<Error>) {
        for Wanted { server, models } in self.wanted.into_values() {
            let sum: u128 = models.iter().map(|(_, bytes)| u128::from(*bytes)).sum();
            let Some(memory) = server.memory.filter(|memory| sum > u128::from(*memory)) else {
                continue;
            };
            let models = models
                .iter()
                .map(|(name, bytes)| format!("{name} {}", show_bytes(*bytes)));
            let models = models.collect::<Vec<_>>().join(", ");
            let sum = u64::try_from(sum).map_or_else(|_| sum.to_string(), show_bytes);
            errors.push(Error::Rule {
                spot: Box::new(FieldLocation {
                    file: Arc::clone(&server.place.file),
                    document: server.place.document,
                    object: format!("Server {}", server.name),
                    line: server.place.line,
                    field: "spec.memory".into(),
                }),
                message: format!(
                    "found {}, expected at least {sum}, which its models need together: {models}",
                    show_bytes(memory)
                ),
            });
        }
    }
}

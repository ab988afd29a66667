//! Reads the requests of all models, each with its model.

use std::{collections::HashMap, io::BufRead};

use super::{Found, ReadError, ReadOptions, ServiceModel, Whose, collect};
use crate::{
    clock::Nanos,
    simulate::fleet::{FleetRequest, FleetTrace},
};

/// The model of each request.
#[derive(Default)]
pub(super) struct ByModel {
    names: Vec<String>,
    known: HashMap<String, usize>,
    of: Vec<usize>,
}

impl ByModel {
    /// Notes the model of the next request, in `line`.
    pub(super) fn add(&mut self, model: Option<&str>, line: u64) -> Result<(), ReadError> {
        let Some(model) = model else {
            return Err(ReadError::Nameless {
                found: format!("line {line} without a model"),
                expected: "a field named model",
            });
        };
        let index = match self.known.get(model) {
            Some(index) => *index,
            None => {
                self.names.push(model.to_owned());
                self.known.insert(model.to_owned(), self.names.len() - 1);
                self.names.len() - 1
            }
        };
        self.of.push(index);
        Ok(())
    }
}

/// Reads the requests of all models in `input`, each of which must name its model. The trace's clock
/// starts at the first arrival.
///
/// # Errors [`ReadError`] for the first error.
pub fn read_fleet(input: impl BufRead, service: ServiceModel) -> Result<FleetTrace, ReadError> {
    let options = ReadOptions {
        service,
        whose: Whose::Each,
    };
    let found = collect(input, &options)?;
    if found.requests.is_empty() {
        return Err(found.empty());
    }
    let Found {
        requests,
        first: (first, _),
        by_model,
        not_served,
        cut_off,
        ..
    } = found;
    let by_model = by_model.unwrap_or_default();
    let all = requests.into_iter().zip(by_model.of);
    let mut requests: Vec<_> = all
        .map(|((at, service), model)| FleetRequest {
            // The span is limited, so this cannot fail.
            at: Nanos(u64::try_from(at - first).unwrap_or(0)),
            service,
            model,
        })
        .collect();
    requests.sort_by_key(|request| request.at);
    Ok(FleetTrace {
        models: by_model.names,
        requests,
        not_served,
        cut_off,
    })
}

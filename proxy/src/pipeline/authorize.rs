//! Authentication and authorization: finds the API key of a request, and checks what it may be
//! used for.

use crate::{
    api_keys::{Caller, TooMany, remove_credentials},
    exchange::Connection,
    message::RequestParts,
    models::{Known, RouteTable, WorkerRoutes},
    protocol::{
        api::{Handling, Match, Service},
        error::ProxyError,
        local_reply::ModelList,
        model_card::ModelCard,
        model_name::MODEL_HEADER,
    },
    status::KeyRefusal,
};

/// The caller of a request. If there are API keys, the header fields with the key are removed.
pub(super) fn authenticate(
    table: &WorkerRoutes,
    connection: &Connection,
    head: &mut RequestParts,
    found: &Match,
) -> Result<Caller, ProxyError> {
    let Some(keys) = &table.keys else {
        return Ok(Caller::Anyone);
    };
    let key = keys.find(&head.headers, connection.certificate.as_ref());
    let caller = match key {
        Ok(key) => Ok(Caller::Key(key)),
        Err(_) if needs_no_key(found, head) => Ok(Caller::Stranger),
        Err((refusal, counts)) => {
            counts.refused(refusal);
            Err(match refusal {
                KeyRefusal::Expired => ProxyError::ExpiredApiKey,
                KeyRefusal::Unknown => ProxyError::WrongApiKey,
                _ => ProxyError::NoApiKey,
            })
        }
    };
    remove_credentials(&mut head.headers);
    caller
}

impl From<TooMany> for ProxyError {
    fn from(too_many: TooMany) -> Self {
        match too_many {
            TooMany::PerMinute { limit, wait } => {
                let seconds = wait.as_millis().div_ceil(1000);
                let retry_after = u32::try_from(seconds).unwrap_or(u32::MAX);
                Self::RateLimited { limit, retry_after }
            }
            TooMany::AtOnce { limit } => Self::ConcurrencyLimited { limit },
        }
    }
}

/// Checks that the caller may use the model.
pub(super) fn authorize(caller: &Caller, known: &Known) -> Result<(), ProxyError> {
    let name = known.model.model.name();
    match caller.authorize(name) {
        true => Ok(()),
        false => Err(ProxyError::ModelForbidden {
            model: name.to_owned(),
        }),
    }
}

/// The served models that a caller may use.
pub(super) struct AllowedModels<'a> {
    pub table: &'a RouteTable,
    pub caller: &'a Caller,
}

impl ModelList for AllowedModels<'_> {
    fn names(&self) -> Vec<&str> {
        let mut names = self.table.names();
        names.retain(|name| self.caller.may_use(name));
        names
    }

    fn aliases(&self) -> Vec<&str> {
        let aliases = self.table.aliases.iter();
        let allowed = aliases.filter(|(_, model)| self.caller.may_use(model));
        allowed.map(|(alias, _)| &**alias).collect()
    }

    fn is_served(&self, name: &str) -> bool {
        let model = self.table.model(name);
        model.is_some_and(|model| self.caller.may_use(model.name()))
    }

    fn is_ready(&self, name: &str) -> bool {
        self.table.is_ready(name)
    }

    fn card(&self, name: &str) -> ModelCard {
        self.table.card(name)
    }
}

/// Whether the request asks about the proxy itself, as load balancers do, which have no key.
fn needs_no_key(found: &Match, head: &RequestParts) -> bool {
    let is_open = match found.handling() {
        Some(Handling::Local(local)) => local.is_open,
        Some(Handling::Service(service)) => *service == Service::Health,
        _ => false,
    };
    is_open && !head.headers.contains_key(MODEL_HEADER)
}

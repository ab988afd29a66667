//! The class and the tenant of a request that is to be held.

use std::{
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

use http::HeaderName;
use tailback_config::FairBy;

use crate::{
    admission::{Held, fair_queue::Flow},
    api_keys::KeyUse,
    message::HeaderMap,
    models::ModelRef,
};

/// Seeded at random in each process, so that callers cannot choose a tenant whose hash equals
/// another's.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The data that the hold queue needs of a request with these header fields and this API key.
pub(super) fn held(model: &ModelRef, headers: &HeaderMap, key: Option<&KeyUse>) -> Held {
    let hold = &model.model.config.hold;
    let (classes, fair_by) = (hold.classes.value.as_ref(), &hold.fair_by.value);
    if classes.is_none() && *fair_by == FairBy::None {
        return Held::default();
    }
    let class = classes.map_or(0, |classes| {
        let asked = text(headers, &classes.header);
        classes.rank(asked, key.and_then(KeyUse::class))
    });
    let tenant = match fair_by {
        FairBy::None => None,
        FairBy::Key => key.map(|key| key.name().as_bytes()),
        FairBy::Header(name) => headers.get(name).map(|value| value.as_bytes()),
    };
    let name = model.model.name();
    Held {
        awaited: None,
        flow: Flow {
            // There are at most 256 classes.
            class: class as u8,
            // Models may share a queue, and each has its own tenants. 0 stands for no tenant.
            tenant: tenant.map_or(0, |tenant| HASHER.hash_one((name, tenant)).max(1)),
        },
        ranked: Some(HASHER.hash_one(name)),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

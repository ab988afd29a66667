//! The garbage collector: deletes objects whose owners are gone (always with the propagation
//! policy `Background`).

use std::collections::HashSet;

use crate::kubernetes::{Shared, meta, registry::Deletion, store::Key};

pub(super) fn collect(shared: &Shared) {
    let orphans: Vec<Key> = {
        let state = shared.store.lock();
        let present: HashSet<&str> = state
            .objects()
            .values()
            .map(|o| meta::get(o, "uid"))
            .collect();
        state
            .objects()
            .iter()
            .filter(|(_, object)| {
                let owners = meta::list(object, "/metadata/ownerReferences");
                let is_owned = owners
                    .iter()
                    .any(|owner| present.contains(owner["uid"].as_str().unwrap_or_default()));
                !owners.is_empty() && !is_owned && !meta::is_terminating(object)
            })
            .map(|(key, _)| key.clone())
            .collect()
    };
    for key in orphans {
        let _ = shared.delete(&key, &Deletion::default());
    }
}

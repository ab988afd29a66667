//! Resolves the room that models of process servers take on their host.

use std::sync::Arc;

use crate::manifest::Draft;
use crate::number::show_bytes;
use crate::{Error, Host, HostRoom, Server};

use super::{duplicate, rule};

/// The host. There is at most one, because Tailback starts processes only on its own machine.
pub(super) fn only(hosts: Vec<Arc<Host>>, errors: &mut Vec<Error>) -> Option<Arc<Host>> {
    let mut hosts = hosts.into_iter();
    let first = hosts.next()?;
    for other in hosts {
        if other.name == first.name {
            errors.push(duplicate("Host", &other.place, &first.place));
            continue;
        }
        let spot = crate::FieldLocation {
            file: Arc::clone(&other.place.file),
            document: other.place.document,
            object: format!("Host {}", other.name),
            line: other.place.line,
            field: String::new(),
        };
        errors.push(rule(
            &spot,
            format!(
                "there is a Host already, {} ({}, line {}): processes run on the machine that Tailback runs on, and that \
                 is one",
                first.name,
                first.place.file.display(),
                first.place.line
            ),
        ));
    }
    Some(first)
}

/// The room that a replica of the model takes on `host`; `None`: it is not counted, because the
/// model does not run there or does not set `memory`.
pub(super) fn room(
    draft: &Draft,
    server: &Server,
    host: Option<&Arc<Host>>,
    errors: &mut Vec<Error>,
) -> Option<HostRoom> {
    let runs_here = server.process().is_some() && server.multi_model.is_none();
    if let Some(devices) = draft.devices.as_ref().filter(|_| !runs_here) {
        errors.push(rule(
            &devices.spot,
            format!(
                "devices are those of the machine that Tailback runs on, and server {} does not start a process for each \
                 replica there; remove it",
                server.name
            ),
        ));
    }
    let host = match (host.filter(|_| runs_here), &draft.devices) {
        (Some(host), _) => host,
        (None, Some(devices)) if runs_here && devices.value > 0 => {
            errors.push(rule(
                &devices.spot,
                "there is no Host, which says what devices there are; write one".to_owned(),
            ));
            return None;
        }
        (None, _) => return None,
    };
    let Some(memory) = &draft.memory else {
        if let Some(devices) = draft.devices.as_ref().filter(|devices| devices.value > 0) {
            errors.push(rule(
                &devices.spot,
                "expected memory as well: what a replica takes on each of its devices".to_owned(),
            ));
        }
        return None;
    };
    let by_default = u32::from(!host.devices.is_empty());
    let devices = draft.devices.as_ref().map_or(by_default, |own| own.value);
    let room = HostRoom {
        memory: memory.value,
        devices,
    };
    if devices == 0 {
        if let Some(all) = host.memory.filter(|all| memory.value > *all) {
            errors.push(rule(
                &memory.spot,
                format!(
                    "found {}, expected at most {}, the memory of host {}",
                    show_bytes(memory.value),
                    show_bytes(all),
                    host.name
                ),
            ));
        }
        return host.memory.map(|_| room);
    }
    let fit = host.devices.iter().filter(|own| own.memory >= memory.value);
    if (fit.count() as u64) < u64::from(devices) {
        let listed = host
            .devices
            .iter()
            .map(|own| format!("{} {}", own.name, show_bytes(own.memory)));
        let listed = listed.collect::<Vec<_>>().join(", ");
        errors.push(rule(
            &memory.spot,
            format!(
                "found {} on {devices} device(s), and host {} has no such room; its devices are: {}",
                show_bytes(memory.value),
                host.name,
                if listed.is_empty() { "none" } else { &listed }
            ),
        ));
    }
    Some(room)
}

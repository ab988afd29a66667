//! Instances that are each told their devices: which of them are where they should be.

use std::collections::BTreeSet;

use super::{Instance, Set};
use crate::{orchestrator::process::description::describe, replica::Devices};

impl Set {
    /// Whether an instance runs what is configured now, on whatever devices.
    pub(super) fn is_configured(&self, instance: &Instance) -> bool {
        instance.runs == describe(&self.wanted.model, instance.replica.devices())
    }

    /// The instances that run what is configured now and, if each is told its devices, on devices
    /// that one of them is to run on.
    pub(super) fn current(&self) -> BTreeSet<u64> {
        let configured = self.instances.iter().filter(|(_, m)| self.is_configured(m));
        let Some(devices) = &self.wanted.devices else {
            let none = |(_, m): &(&u64, &Instance)| m.replica.devices().is_empty();
            return configured.filter(none).map(|(id, _)| *id).collect();
        };
        let mut left = devices.clone();
        let mut instances: Vec<_> = configured.collect();
        instances.sort_by_key(|(_, m)| m.phase);
        let takes = |(id, m): (&u64, &Instance)| {
            let at = left.iter().position(|own| own == m.replica.devices())?;
            left.swap_remove(at);
            Some(*id)
        };
        instances.into_iter().filter_map(takes).collect()
    }

    /// The devices that the next instance runs on; `None`: all that are meant are taken.
    pub(super) fn free_devices(&self) -> Option<Devices> {
        let Some(devices) = &self.wanted.devices else {
            return Some(Devices::new());
        };
        let mut left = devices.clone();
        for instance in self.instances.values() {
            if let Some(at) = left
                .iter()
                .position(|own| own == instance.replica.devices())
            {
                left.swap_remove(at);
            }
        }
        left.into_iter().next()
    }
}

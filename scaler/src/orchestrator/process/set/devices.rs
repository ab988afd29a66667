//! Instances with assigned devices: which of them run where they should.

use std::collections::BTreeSet;

use super::{Instance, Set};
use crate::{
    clock::Nanos,
    orchestrator::{
        LoadFailure,
        process::{description::describe, plan::InstancePhase},
    },
    replica::Devices,
};

impl Set {
    /// Whether an instance runs the present configuration, on whatever devices.
    pub(super) fn is_configured(&self, instance: &Instance) -> bool {
        instance.runs == describe(&self.wanted.model, instance.replica.devices())
    }

    /// The instances that run the present configuration and, if devices are assigned, run on
    /// assigned ones.
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

    /// The assigned devices that no instance occupies, in whatever state it is.
    pub(super) fn free_devices(&self) -> Vec<Devices> {
        let mut left = self.wanted.devices.clone().unwrap_or_default();
        for instance in self.instances.values() {
            let own = instance.replica.devices();
            let same = left.iter().position(|devices| devices == own);
            if let Some(at) = same {
                left.swap_remove(at);
            }
        }
        left
    }

    /// Gives up the devices of a replica that has failed before it was ready, or that keeps
    /// failing. The host's reconciler decides when it is tried again, and which model gets the
    /// devices until then.
    pub(super) fn give_up(&mut self, instance: &Instance, why: &str) {
        let keeps_failing = !self.backoff.pause(Nanos::now()).is_zero();
        let Some(devices) = &mut self.wanted.devices else {
            return;
        };
        if instance.ready_since.is_some() && !keeps_failing {
            return;
        }
        let own = instance.replica.devices();
        if let Some(at) = devices.iter().position(|devices| devices == own) {
            devices.remove(at);
        }
        self.wanted.replicas = u32::try_from(devices.len()).unwrap_or(u32::MAX);
        let number = self.load_failure.as_ref().map_or(0, |last| last.number);
        self.load_failure = Some(LoadFailure {
            number: number.saturating_add(1),
            why: why.into(),
        });
    }

    /// Lets instances take requests again that were closed from outside and are to stay.
    pub(super) fn reopen(&self) {
        let current = self.current();
        for (id, instance) in &self.instances {
            if instance.phase == InstancePhase::Ready && current.contains(id) {
                instance.replica.reopen();
            }
        }
    }
}

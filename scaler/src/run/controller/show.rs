//! The model's state for the admin address.

use super::*;

impl ModelController {
    pub(super) fn show(&self, why: &str) {
        self.status.update(&self.handle.model.name, |status| {
            status.desired = self.scaler.desired();
            status.wanted = self.wanted;
            status.ready.clone_from(&self.set.ready);
            status.ready_count = self.set.ready_count();
            status.pause = self.pause;
            status.manual = self.scaler.manual().cloned();
            status.starting = self.set.starting;
            status.draining = self.set.draining;
            status.coming.clone_from(&self.set.coming);
            status.leaving.clone_from(&self.set.leaving);
            status.warning.clone_from(&self.set.warning);
            status.not_ready.clone_from(&self.set.not_ready);
            status.placement.clone_from(&self.set.placement);
            status.start_up_seconds = self.set.start_up.map(|s| s.as_secs_f64());
            status.service_seconds = self.scaler.service_seconds();
            status.failure = self.failure();
            status.reason = match &self.rejected {
                Some(rejected) => format!("{why}; scale request {}", rejected.why),
                None => why.to_owned(),
            };
        });
    }
}

//! This model is paused: see [`switch`](crate::run::switch).

use super::*;

impl Tracked {
    /// It is paused, or resumed.
    pub(in crate::run) fn set_activity(&mut self, activity: Activity) {
        if activity == self.activity {
            return;
        }
        self.activity = activity;
        let model = &self.watched.model.name;
        match activity {
            Activity::Paused => tracing::warn!(model, "paused: nothing is asked for"),
            Activity::Active => tracing::info!(model, "resumed"),
        }
        self.decide(None);
    }

    /// Nothing of `decision` is asked for while the model is paused.
    pub(super) fn pause(&self, decision: &mut Decision) {
        if self.activity == Activity::Paused {
            let wanted = mem::replace(&mut decision.desired, self.brain.desired());
            decision.reasons.push(Reason::Paused { wanted });
        }
    }
}

//! Reactions to [pausing](crate::run::pause) the model.

use super::*;

impl ModelController {
    /// Pauses or resumes the model's scaling.
    pub(in crate::run) fn set_pause(&mut self, pause: PauseState) {
        if pause == self.pause {
            return;
        }
        self.pause = pause;
        let model = &self.handle.model.name;
        match pause {
            PauseState::Paused => tracing::warn!(
                model,
                "scaling is paused: the count stays until it is resumed"
            ),
            PauseState::Active => tracing::info!(model, "scaling is resumed"),
        }
        self.decide(None);
    }

    /// Keeps the current count while the model is paused.
    pub(super) fn pause(&self, decision: &mut Decision) {
        if self.pause == PauseState::Paused {
            let wanted = mem::replace(&mut decision.desired, self.scaler.desired());
            decision.reasons.push(Reason::Paused { wanted });
        }
    }
}

//! This model is paused: see [`pause`](crate::run::pause).

use super::*;

impl ModelController {
    /// It is paused, or resumed.
    pub(in crate::run) fn set_pause(&mut self, pause: PauseState) {
        if pause == self.pause {
            return;
        }
        self.pause = pause;
        let model = &self.handle.model.name;
        match pause {
            PauseState::Paused => tracing::warn!(model, "paused: nothing is asked for"),
            PauseState::Active => tracing::info!(model, "resumed"),
        }
        self.decide(None);
    }

    /// Nothing of `decision` is asked for while the model is paused.
    pub(super) fn pause(&self, decision: &mut Decision) {
        if self.pause == PauseState::Paused {
            let wanted = mem::replace(&mut decision.desired, self.scaler.desired());
            decision.reasons.push(Reason::Paused { wanted });
        }
    }
}

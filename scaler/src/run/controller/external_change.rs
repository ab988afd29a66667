//! Reactions to changes of the model's count by somebody else;
//! [`external_change`](crate::run::external_change) has the rules.

use super::*;
use crate::run::external_change::allowed;

impl ModelController {
    /// Compares the count that the orchestrator reports with our own. Accepts a change by
    /// somebody else, and backs off.
    pub(super) fn check_external_change(&mut self) {
        let Some(desired) = self.set.desired else {
            return self.external.gone();
        };
        let now = Nanos::now();
        let stability = self.handle.model.scaling.stability.value;
        let before = self.scaler.desired();
        let model = &self.handle.model;
        if model.scaling.dry_run.value || model.replicas.is_followed() {
            // The configuration leaves the count to others.
            self.external.reported(desired, Duration::ZERO, now);
            return self.scaler.adopt(desired, now);
        }
        let contested =
            self.external.quiet(now).map(|(back_off, _)| back_off) == Some(BackOff::Contested);
        let was_gone = self.external.is_gone();
        let Some(back_off) = self.external.reported(desired, stability, now) else {
            if was_gone && self.taken_over == TakenOver::Yes {
                self.scaler.adopt(desired, now);
            }
            return;
        };
        self.withdraw();
        self.scaler.adopt(desired, now);
        self.left_to_others = Some(LeftToOthers {
            until: (seconds_since_1970() + back_off.span().as_secs_f64()).ceil() as u64,
            contested: back_off == BackOff::Contested,
        });
        let reason = quiet_reason(back_off, desired, back_off.span());
        // One warning for each period of contention.
        if contested {
            tracing::info!(model = self.handle.model.name, "{reason}");
        } else {
            tracing::warn!(model = self.handle.model.name, "{reason}");
        }
        let reading = self.look();
        self.status.record(DecisionRecord {
            time: seconds_since_1970(),
            model: self.handle.model.name.clone(),
            from: before,
            to: desired,
            lag: reading.in_flight(),
            held: reading.held,
            reasons: vec![reason],
            outcome: ScaleOutcome::ExternalChange,
            trace: None,
        });
    }

    /// Limits `decision` during the back-off: only a first replica for held requests is asked
    /// for.
    pub(super) fn leave_to_others(&self, seen: &Observation, decision: &mut Decision) {
        let Some((back_off, left)) = self.external.quiet(Nanos::now()) else {
            return;
        };
        let asked = self.scaler.desired();
        let allowed = allowed(asked, seen.held(), decision.desired);
        if decision.desired != allowed {
            decision.desired = allowed;
            decision.reasons.push(quiet_reason(back_off, asked, left));
        }
    }
}

fn quiet_reason(back_off: BackOff, replicas: u32, quiet: Duration) -> Reason {
    match back_off {
        BackOff::AfterChange { .. } => Reason::ExternalChange { replicas, quiet },
        BackOff::Contested => Reason::Contested { replicas, quiet },
    }
}

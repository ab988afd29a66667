//! Somebody else asks for a count of this model: see [`foreign`](crate::run::foreign).

use super::*;

impl Tracked {
    /// Takes over the count that somebody else asked for.
    pub(super) fn hear_count(&mut self) {
        let Some(desired) = self.set.desired else {
            return;
        };
        let now = Nanos::now();
        let stability = self.watched.model.scaling.stability.value;
        let before = self.brain.desired();
        let model = &self.watched.model;
        if model.scaling.dry_run.value || model.replicas.is_followed() {
            // It is others' business by the user's own word.
            self.foreign.heard(desired, Duration::ZERO, now);
            return self.brain.adopt(desired, now);
        }
        let yielding = self.foreign.quiet(now).map(|(stance, _)| stance) == Some(Stance::Yield);
        let Some(stance) = self.foreign.heard(desired, stability, now) else {
            return;
        };
        self.requester.withdraw();
        self.brain.adopt(desired, now);
        let reason = quiet_reason(stance, desired, stance.span());
        // One fight is one warning.
        if yielding {
            tracing::info!(model = self.watched.model.name, "{reason}");
        } else {
            tracing::warn!(model = self.watched.model.name, "{reason}");
        }
        let reading = self.look();
        self.board.record(Record {
            time: seconds_since_1970(),
            model: self.watched.model.name.clone(),
            from: before,
            to: desired,
            lag: reading.in_flight(),
            held: reading.held,
            reasons: vec![reason],
            outcome: Outcome::Foreign,
        });
    }

    /// What of `decision` is asked for while the count is somebody else's: a
    /// first replica for requests that wait.
    pub(super) fn leave_to_others(&self, seen: &Observation, decision: &mut Decision) {
        let Some((stance, left)) = self.foreign.quiet(Nanos::now()) else {
            return;
        };
        let asked = self.brain.desired();
        if decision.desired == asked || (asked == 0 && seen.held > 0) {
            return;
        }
        decision.desired = asked;
        decision.reasons.push(quiet_reason(stance, asked, left));
    }
}

fn quiet_reason(stance: Stance, replicas: u32, quiet: Duration) -> Reason {
    match stance {
        Stance::Quiet { .. } => Reason::Foreign { replicas, quiet },
        Stance::Yield => Reason::Yielding { replicas, quiet },
    }
}

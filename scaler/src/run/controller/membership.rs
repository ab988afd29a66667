//! This model at other proxies: what they count of it, and who asks for replicas.

use super::*;

impl ModelController {
    /// The count is the leader's to ask for, or somebody else's: it is followed.
    pub(super) fn follow_count(&mut self) {
        let Some(desired) = self.set.desired else {
            return;
        };
        self.external.knows(desired);
        if self.taken_over == TakenOver::Yes {
            self.scaler.adopt(desired, Nanos::now());
        }
    }

    /// Other proxies have counted.
    pub(in crate::run) fn peers_counted(&mut self, others: MembershipView, change: &CountsChange) {
        let before = self.own.plus(&self.others.counts).in_flight();
        self.others = others;
        self.scaler.correct(&change.correction);
        if let (Role::Follows, Some(desired)) = (others.role, change.desired) {
            // Heard of sooner than by way of the orchestrator, which may not say.
            self.scaler.adopt(desired, Nanos::now());
        }
        if let (Role::Follows, Some(left)) = (others.role, change.left_to_others) {
            self.leave_as_leader_does(left);
        }
        self.show_others();
        let lag = self.own.plus(&others.counts).in_flight();
        match self.scaler.wake_at() {
            // They cannot ring here: their line does.
            Some(level) if before < level && lag >= level => self.decide(Some(Nanos::now())),
            _ => self.arm(),
        }
    }

    /// From now on it asks for what it decides, or does not.
    pub(in crate::run) fn set_role(&mut self, role: Role) {
        self.others.role = role;
        match role {
            Role::Leads => {
                let asked = self.set.desired == Some(self.scaler.desired());
                if self.taken_over == TakenOver::Yes && !asked {
                    // What the leader before us asked for may have been lost with it.
                    self.ask(None, None);
                }
            }
            Role::Follows => {
                // What is on its way is given up.
                self.requester = self.requester.anew();
                (self.requested, self.rejected) = (None, None);
                self.follow_count();
            }
        }
        self.decide(None);
    }

    /// Our counts of this model, for the other proxies.
    pub(in crate::run) fn counts(&self) -> Counts {
        let asks = (self.others.role, self.taken_over) == (Role::Leads, TakenOver::Yes);
        let quiet = asks && self.external.quiet(Nanos::now()).is_some();
        Counts {
            desired: asks.then(|| self.scaler.desired()),
            left_to_others: self.left_to_others.filter(|_| quiet),
            ..Counts::new(self.handle.ledger.number(), &self.own)
        }
    }

    /// The leader leaves the count to somebody else: so do we, if we come after it.
    fn leave_as_leader_does(&mut self, left_to_others: LeftToOthers) {
        let left = Duration::try_from_secs_f64(left_to_others.until as f64 - seconds_since_1970());
        let Some(left) = left.ok().filter(|left| !left.is_zero()) else {
            return;
        };
        let back_off = match left_to_others.contested {
            true => BackOff::Contested,
            false => BackOff::AfterChange { span: left },
        };
        self.external.told(back_off, left, Nanos::now());
        self.left_to_others = Some(left_to_others);
    }

    /// The in-flight here that is to be told at once. Of the room that the others
    /// know of, too: what they were told last.
    pub(super) fn part_of(&self, level: u64) -> u64 {
        let (own, others) = (self.own.in_flight(), self.others.counts.in_flight());
        let room = level.saturating_sub(own + others);
        own + room.div_ceil(self.others.proxies)
    }

    pub(super) fn show_others(&self) {
        self.status.update(&self.handle.model.name, |status| {
            status.others = self.others.counts;
        });
    }
}

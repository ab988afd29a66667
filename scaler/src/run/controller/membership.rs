//! The model at other proxies: adds their counts, and follows the leader.

use super::*;

impl ModelController {
    /// Adopts the count that the orchestrator reports: the leader, or somebody else, has set it.
    pub(super) fn follow_count(&mut self) {
        let Some(desired) = self.set.desired else {
            return;
        };
        self.external.knows(desired);
        if self.taken_over == TakenOver::Yes {
            self.scaler.adopt(desired, Nanos::now());
        }
    }

    /// Takes new counts of the other proxies.
    pub(in crate::run) fn peers_counted(&mut self, others: MembershipView, change: &CountsChange) {
        let demand = |own: &Reading, others: &Reading| own.plus(others).demand().in_flight();
        let before = demand(&self.own, &self.others.counts);
        self.others = others;
        self.scaler.correct(&change.correction.demand());
        if let (Role::Follows, Some(desired)) = (others.role, change.desired) {
            // The leader's report comes earlier than the orchestrator's, if that reports the count
            // at all.
            self.scaler.adopt(desired, Nanos::now());
        }
        if let (Role::Follows, Some(left)) = (others.role, change.left_to_others) {
            self.leave_as_leader_does(left);
        }
        // Kept in case this proxy becomes the leader.
        let ordered = others.role == Role::Follows && self.obey(change.orders.as_ref());
        self.show_others();
        let present = demand(&self.own, &others.counts);
        match self.wake_level() {
            // Other proxies' ledgers cannot wake this scaler, so their updates do.
            Some(level) if before < level && present >= level => {
                // The request's span belongs to another process.
                let (at, span) = (Nanos::now(), None);
                self.decide(Some(Crossing { at, span }));
            }
            _ if ordered => self.decide(None),
            _ => self.arm(),
        }
    }

    /// Begins or stops asking for replicas.
    pub(in crate::run) fn set_role(&mut self, role: Role) {
        self.others.role = role;
        match role {
            Role::Leads => {
                let asked = self.set.desired == Some(self.scaler.desired());
                if self.taken_over == TakenOver::Yes && !asked {
                    // The former leader's last request may have been lost with it.
                    self.ask(None, None);
                }
            }
            Role::Follows => {
                // Cancels the pending scale request.
                self.requester = self.requester.anew();
                (self.requested, self.rejected) = (None, None);
                self.follow_count();
            }
        }
        self.decide(None);
    }

    /// The counts of this model for the other proxies; with `all`, the sum over all proxies.
    pub(in crate::run) fn counts(&self, all: bool) -> Counts {
        let reading = match all {
            true => self.own.plus(&self.others.counts),
            false => self.own,
        };
        let asks = (self.others.role, self.taken_over) == (Role::Leads, TakenOver::Yes);
        let quiet = asks && self.external.quiet(Nanos::now()).is_some();
        Counts {
            desired: asks.then(|| self.scaler.desired()),
            left_to_others: self.left_to_others.filter(|_| quiet),
            orders: asks.then(|| self.orders()),
            ..Counts::new(self.handle.ledger.number(), &reading)
        }
    }

    /// Backs off as the leader does, in case this proxy is the next leader.
    fn leave_as_leader_does(&mut self, left_to_others: LeftToOthers) {
        let left = Duration::try_from_secs_f64(left_to_others.until as f64 - seconds_since_1970());
        let Some(left) = left.ok().filter(|left| !left.is_zero()) else {
            return;
        };
        let back_off = match left_to_others.contested {
            true => BackOff::Contested,
            false => BackOff::AfterChange { span: left },
        };
        self.external.back_off(back_off, left, Nanos::now());
        self.left_to_others = Some(left_to_others);
    }

    /// Our in-flight at which the room below `level` is used up by our share. The room is
    /// computed from the counts that were last published, which the other proxies know too.
    pub(super) fn part_of(&self, level: u64) -> u64 {
        let demand = |reading: &Reading| reading.demand().in_flight();
        let (own, others) = (demand(&self.own), demand(&self.others.counts));
        let room = level.saturating_sub(own + others);
        own + room.div_ceil(self.others.proxies)
    }

    pub(super) fn show_others(&self) {
        self.status.update(&self.handle.model.name, |status| {
            status.others = self.others.counts;
        });
    }
}
